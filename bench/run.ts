/**
 * Measures contenders against each other on one adapter, in one process or page. Nothing here knows Node or a browser.
 *
 * A case's results are compared first, and only what agrees is timed. Then the contenders take turns, A B C, C B A, ..., so
 * that whatever else the machine does meets all of them alike, and nobody always comes second. A sample is a few runs and one
 * wait for the adapter, long enough that the clock's steps do not matter. A ratio is of neighbours in time, pair by pair.
 */
import { inputsOf, type Adapter, type Benchmark } from "./benchmark.ts";
import type { Contender, Prepared } from "./contender.ts";
import { drift, drifted, median, medianInterval, quantile, round } from "./stats.ts";

export interface Timing {
  readonly medianMs: number;
  readonly minMs: number;
  readonly maxMs: number;
  readonly q1Ms: number;
  readonly q3Ms: number;
  /** Samples. */
  readonly runs: number;
  /** Runs in a sample; the times are for one. */
  readonly runsPerSample: number;
  /** From nothing to the first result: upload, pipelines, the very first run. */
  readonly firstMs: number;
  /** The second half's median over the first's; `drifted` if that is more than the samples' spread. */
  readonly drift: number;
  readonly drifted: boolean;
  /** By the GPU's clock, launches only. Absent where there is no such clock. */
  readonly gpuMs?: number;
  /** Kernels in one run. */
  readonly launches?: number;
  /** What a run keeps the JavaScript thread busy: median of some runs with an idle GPU. */
  readonly threadMs?: number;
  /** On the device for this case, by the library's own account. */
  readonly memoryBytes?: number;
}

/** Why a contender has no timing. */
export interface Failure {
  readonly error: string;
}

export interface Measured {
  readonly name: string;
  readonly suite: Benchmark["suite"];
  readonly dtype: Benchmark["dtype"];
  readonly flops: number;
  readonly bytes: number;
  readonly ours: Timing | Failure;
  readonly rivals: Readonly<Record<string, Timing | Failure>>;
  /** The rival's median over ours: above 1 we are faster. Only where both results agree. */
  readonly ratio: Readonly<Record<string, number>>;
  /**
   * Median of the same ratio over pairs of neighbouring samples, and the range that holds it in 95 of 100 cases. What regressions are
   * judged by.
   */
  readonly paired: Readonly<Record<string, { readonly ratio: number; readonly low: number; readonly high: number }>>;
  /** Least and most over those pairs. */
  readonly ratioRange: Readonly<Record<string, readonly [number, number]>>;
  /** Largest relative difference of results from any rival; `null` without one to compare with. */
  readonly difference: number | null;
  readonly tolerance: number;
  readonly toleranceReason: string;
  /** Of ours; `null` where the case does not count such work. */
  readonly gflops: number | null;
  readonly gbps: number | null;
}

export interface Limits {
  /** Samples that are wanted of each contender. */
  readonly samples: number;
  /** After so long sampling a case there are no more than the wanted samples. */
  readonly seconds: number;
  /** After so long sampling a case it ends, with the samples there are. */
  readonly atMostSeconds: number;
  /** Each contender's runs are bundled into samples at least so long. */
  readonly sampleMs: number;
  /** So long all run before any is timed: a GPU that was idle clocks a fifth of its best, and takes its time to speed up. */
  readonly warmMs?: number;
  /** Whether contenders run equally often in a sample: where they are nearly as fast, the wait for the adapter must not tell them apart. */
  readonly equalRuns?: boolean;
}

/** A browser's clock may step by 0.1 ms, a GPU's by 0.1 ms too: samples are a hundred steps and more. */
export const limitsFor = (set: Adapter, quick: boolean): Limits =>
  set === "gpu"
    ? { samples: quick ? 20 : 30, seconds: quick ? 1 : 3, atMostSeconds: quick ? 5 : 20, sampleMs: 10, warmMs: 400 }
    : { samples: quick ? 15 : 7, seconds: quick ? 4 : 3, atMostSeconds: quick ? 8 : 45, sampleMs: quick ? 25 : 10, warmMs: 200 };

interface Running {
  readonly contender: Contender;
  prepared: Prepared | null;
  failure: Failure | null;
  firstMs: number;
  times: number;
  gpuMs: number | undefined;
  threadMs: number | undefined;
  memoryBytes: number | undefined;
  results: readonly Float32Array[];
  readonly samples: number[];
}

export interface MeasureOptions {
  readonly limits: Limits;
  /** A clock in ms; to be replaced by tests. */
  readonly now?: () => number;
}

/** Compares, then times one case. A contender that fails is reported, and does not stop the others. */
export async function measure(
  c: Benchmark,
  ours: Contender,
  rivals: readonly Contender[],
  { limits, now = () => performance.now() }: MeasureOptions,
): Promise<Measured> {
  const contenders = [ours, ...rivals].map(
    (contender): Running => ({
      contender,
      prepared: null,
      failure: null,
      firstMs: 0,
      times: 1,
      gpuMs: undefined,
      threadMs: undefined,
      memoryBytes: undefined,
      results: [],
      samples: [],
    }),
  );
  const [first, ...others] = contenders as [Running, ...Running[]];
  const timed = async (e: Running, times: number): Promise<number> => {
    const from = now();
    await e.prepared!.run(times);
    return (now() - from) / times;
  };

  const differences = await compareResults(c, contenders, now);
  const warmUntil = now() + (limits.warmMs ?? 0);
  while (now() < warmUntil && contenders.some((e) => !e.failure)) for (const e of contenders) await attempt(e, () => e.prepared!.run(1));
  // Compared means warm, but for what a machine does late: one more run each, which also tells how many make a sample.
  for (const e of contenders) {
    await attempt(e, async () => {
      const once = await timed(e, 1);
      e.times = Math.max(1, Math.ceil(limits.sampleMs / Math.max(0.01, once)));
      if (e.times > 1) e.times = Math.max(1, Math.ceil(limits.sampleMs / Math.max(0.001, await timed(e, e.times))));
    });
  }
  if (limits.equalRuns) for (const e of contenders) e.times = Math.max(...contenders.map(({ times }) => times));
  const started = now();
  for (let round = 0; contenders.some((e) => !e.failure); round++) {
    const secondsOn = (now() - started) / 1000;
    if (
      round > 0 &&
      (secondsOn > limits.atMostSeconds || (round >= limits.samples && (secondsOn > limits.seconds || round >= 5 * limits.samples)))
    )
      break;
    for (const e of round % 2 === 0 ? contenders : [...contenders].reverse())
      await attempt(e, async () => void e.samples.push(await timed(e, e.times)));
  }
  for (const e of contenders)
    await attempt(e, async () => {
      e.gpuMs = await onGpu(e.prepared!);
      e.threadMs = await onThread(e.prepared!);
    });
  for (const e of contenders) e.prepared?.dispose();

  const byName = <T>(list: readonly Running[], value: (e: Running) => T) =>
    Object.fromEntries(list.map((e) => [e.contender.name, value(e)]));
  const counted = first.failure ? [] : others.filter((e) => !e.failure);
  const compared = differences.filter((d) => d !== null);
  const rate = (work: number) => (first.failure || work === 0 ? null : round(work / median(first.samples) / 1e6));
  const pairs = (e: Running) => e.samples.map((ms, i) => ms / first.samples[i]!);
  return {
    name: c.name,
    suite: c.suite,
    dtype: c.dtype,
    flops: c.flops,
    bytes: c.bytes,
    ours: timing(first),
    rivals: byName(others, timing),
    ratio: byName(counted, (e) => round(median(e.samples) / median(first.samples))),
    paired: byName(counted, (e) => {
      const [low, high] = medianInterval(pairs(e));
      return { ratio: round(median(pairs(e))), low: round(low), high: round(high) };
    }),
    ratioRange: byName(counted, (e) => [round(Math.min(...pairs(e))), round(Math.max(...pairs(e)))] as const),
    difference: compared.length > 0 ? Number(Math.max(...compared).toExponential(2)) : null,
    tolerance: c.tolerance,
    toleranceReason: c.reason,
    gflops: rate(c.flops),
    gbps: rate(c.bytes),
  };
}

async function attempt(e: Running, body: () => Promise<void>): Promise<void> {
  if (e.failure) return;
  try {
    await body();
  } catch (error) {
    e.failure = { error: String(error instanceof Error ? error.message : error).split("\n")[0]! };
  }
}

/** Runs every contender once; one whose results differ from ours fails. Returns the differences. */
async function compareResults(c: Benchmark, contenders: readonly Running[], now: () => number): Promise<(number | null)[]> {
  const inputs = inputsOf(c);
  for (const e of contenders) {
    await attempt(e, async () => {
      const from = now();
      e.prepared = await e.contender.prepare(c, inputs);
      const results: Float32Array[] = [];
      for (let i = 0; i < c.compared; i++) {
        await e.prepared.run(1);
        if (i === 0) e.firstMs = now() - from;
        results.push(...(await e.prepared.result()));
      }
      e.results = results;
      e.memoryBytes = e.prepared.bytes?.();
    });
  }
  const [first, ...others] = contenders;
  return others.map((e) => {
    if (e.failure || first!.failure) return null;
    const d = difference(first!.results, e.results);
    if (!(d <= c.tolerance)) e.failure = { error: `results differ by ${d.toExponential(1)}, more than ${c.tolerance.toExponential(1)}` };
    return d;
  });
}

/** Mean of enough runs that a clock which steps by 0.1 ms is off by little: its steps fall evenly. */
async function onGpu(prepared: Prepared): Promise<number | undefined> {
  if (!prepared.gpuMs) return undefined;
  let sum = 0,
    n = 0;
  while (n < 3 || (sum < 5 && n < 20)) {
    sum += await prepared.gpuMs();
    n++;
  }
  return sum > 0 ? sum / n : undefined;
}

const THREAD_RUNS = 5;

async function onThread(prepared: Prepared): Promise<number | undefined> {
  if (!prepared.threadMs) return undefined;
  const times: number[] = [];
  for (let i = 0; i < THREAD_RUNS; i++) times.push(await prepared.threadMs());
  return median(times);
}

function timing(e: Running): Timing | Failure {
  const { samples: s } = e;
  return (
    e.failure ?? {
      medianMs: round(median(s)),
      minMs: round(Math.min(...s)),
      maxMs: round(Math.max(...s)),
      q1Ms: round(quantile(s, 0.25)),
      q3Ms: round(quantile(s, 0.75)),
      runs: s.length,
      runsPerSample: e.times,
      firstMs: round(e.firstMs),
      drift: round(drift(s)),
      drifted: drifted(s),
      ...(e.gpuMs === undefined ? {} : { gpuMs: round(e.gpuMs) }),
      ...(e.prepared?.launches === undefined ? {} : { launches: e.prepared.launches }),
      ...(e.threadMs === undefined ? {} : { threadMs: round(e.threadMs) }),
      ...(e.memoryBytes === undefined ? {} : { memoryBytes: e.memoryBytes }),
    }
  );
}

/**
 * Largest |a - b|, relative to the largest |b| of the same array. Infinite where they have not the same form, are not finite,
 * or are all zeros, as memory that was never written is.
 */
export function difference(a: readonly Float32Array[], b: readonly Float32Array[]): number {
  if (a.length !== b.length || a.some((x, i) => x.length !== b[i]!.length)) return Infinity;
  return Math.max(
    ...a.map((x, k) => {
      const y = b[k]!;
      let most = 0,
        scale = 0;
      for (let i = 0; i < x.length; i++) {
        const d = Math.abs(x[i]! - y[i]!);
        if (!(d < Infinity)) return Infinity;
        most = Math.max(most, d);
        scale = Math.max(scale, Math.abs(y[i]!));
      }
      return scale === 0 ? Infinity : most / scale;
    }),
  );
}

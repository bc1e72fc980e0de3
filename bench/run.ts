/**
 * Measures contenders against each other on one adapter, in one process or page. Nothing here knows Node or a browser.
 *
 * A case's results are compared first, and only if they agree is it timed. Then the contenders take turns, A B A B, so
 * that whatever else the machine does meets all of them alike. A sample is a few runs and one wait for the adapter: on
 * a GPU a single kernel would measure the wait.
 */
import { inputsOf, type Affordable, type Case } from "./cases.ts";
import type { Contender, Prepared } from "./contender.ts";

export interface Timing {
  readonly medianMs: number;
  readonly minMs: number;
  readonly maxMs: number;
  /** Samples. */
  readonly runs: number;
  /** Runs in a sample; the times are for one. */
  readonly runsPerSample: number;
  /** The very first run, with everything that is compiled for it. */
  readonly firstMs: number;
}

/** Why a contender has no timing. */
export interface Failure {
  readonly error: string;
}

export interface Measured {
  readonly name: string;
  readonly suite: Case["suite"];
  readonly dtype: Case["dtype"];
  readonly flops: number;
  readonly bytes: number;
  readonly ours: Timing | Failure;
  readonly rivals: Readonly<Record<string, Timing | Failure>>;
  /** The rival's median over ours: above 1 we are faster. Only where both results agree. */
  readonly ratio: Readonly<Record<string, number>>;
  /** Least and most of the same ratio over pairs of neighbouring samples. */
  readonly ratioRange: Readonly<Record<string, readonly [number, number]>>;
  /** Largest relative difference of results from any rival; `null` without one to compare with. */
  readonly difference: number | null;
  readonly tolerance: number;
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
  /** Runs are bundled into samples at least so long. */
  readonly sampleMs: number;
}

export const limitsFor = (set: Affordable): Limits =>
  set === "gpu" ? { samples: 30, seconds: 3, atMostSeconds: 20, sampleMs: 10 } : { samples: 5, seconds: 3, atMostSeconds: 45, sampleMs: 2 };

interface Entrant {
  readonly contender: Contender;
  prepared: Prepared | null;
  failure: Failure | null;
  firstMs: number;
  results: readonly Float32Array[];
  readonly samples: number[];
}

export interface MeasureOptions {
  readonly limits: Limits;
  /** How long something took, in ms; to be replaced by tests. */
  readonly now?: () => number;
}

/** Compares, then times one case. A contender that fails is reported, and does not stop the others. */
export async function measure(c: Case, ours: Contender, rivals: readonly Contender[], { limits, now = () => performance.now() }: MeasureOptions): Promise<Measured> {
  const inputs = inputsOf(c);
  const entrants = [ours, ...rivals].map((contender): Entrant => ({ contender, prepared: null, failure: null, firstMs: 0, results: [], samples: [] }));
  const [first, ...others] = entrants as [Entrant, ...Entrant[]];
  const attempt = async (e: Entrant, body: () => Promise<void>) => {
    if (e.failure) return;
    try {
      await body();
    } catch (error) {
      e.failure = { error: (error as Error).message.split("\n")[0]! };
    }
  };
  const timed = async (e: Entrant, times: number): Promise<number> => {
    const from = now();
    await e.prepared!.run(times);
    return (now() - from) / times;
  };

  for (const e of entrants) {
    await attempt(e, async () => {
      const from = now();
      e.prepared = await e.contender.prepare(c, inputs);
      if (!e.prepared) throw new Error("has no way to compute this");
      const results: Float32Array[] = [];
      for (let i = 0; i < c.compared; i++) {
        await e.prepared.run(1);
        if (i === 0) e.firstMs = now() - from;
        results.push(...(await e.prepared.result()));
      }
      e.results = results;
    });
  }
  const differences = new Map(others.map((e) => [e, e.failure || first.failure ? null : difference(first.results, e.results)]));
  for (const [e, d] of differences) {
    if (d !== null && !(d <= c.tolerance)) e.failure = { error: `results differ by ${d.toExponential(1)}, more than ${c.tolerance.toExponential(1)}` };
  }

  // Compared means warm, but for what a machine does late: one more run each, which also tells how many make a sample.
  const warm = new Map<Entrant, number>();
  for (const e of entrants) await attempt(e, async () => void warm.set(e, await timed(e, 1)));
  const times = Math.max(1, Math.ceil(limits.sampleMs / Math.max(0.01, Math.min(...warm.values()))));
  const started = now();
  while (entrants.some((e) => !e.failure)) {
    const [taken, secondsOn] = [Math.max(...entrants.map((e) => e.samples.length)), (now() - started) / 1000];
    if (taken > 0 && (secondsOn > limits.atMostSeconds || (taken >= limits.samples && (secondsOn > limits.seconds || taken >= 2 * limits.samples)))) break;
    for (const e of entrants) await attempt(e, async () => void e.samples.push(await timed(e, times)));
  }
  for (const e of entrants) e.prepared?.dispose();

  const timing = (e: Entrant): Timing | Failure => e.failure ?? {
    medianMs: round(median(e.samples)), minMs: round(Math.min(...e.samples)), maxMs: round(Math.max(...e.samples)),
    runs: e.samples.length, runsPerSample: times, firstMs: round(e.firstMs),
  };
  const byName = <T>(list: readonly Entrant[], value: (e: Entrant) => T) => Object.fromEntries(list.map((e) => [e.contender.name, value(e)]));
  const counted = first.failure ? [] : others.filter((e) => !e.failure);
  const compared = [...differences.values()].filter((d) => d !== null);
  const rate = (work: number) => (first.failure || work === 0 ? null : round(work / median(first.samples) / 1e6));
  return {
    name: c.name, suite: c.suite, dtype: c.dtype, flops: c.flops, bytes: c.bytes,
    ours: timing(first), rivals: byName(others, timing),
    ratio: byName(counted, (e) => round(median(e.samples) / median(first.samples))),
    ratioRange: byName(counted, (e) => {
      const pairs = e.samples.map((ms, i) => ms / first.samples[i]!);
      return [round(Math.min(...pairs)), round(Math.max(...pairs))] as const;
    }),
    difference: compared.length > 0 ? Number(Math.max(...compared).toExponential(2)) : null, tolerance: c.tolerance,
    gflops: rate(c.flops), gbps: rate(c.bytes),
  };
}

/**
 * Largest |a - b|, relative to the largest |b| of the same array. Infinite where they have not the same form, are not finite,
 * or are nothing but zeros: memory that nobody wrote agrees with itself.
 */
export function difference(a: readonly Float32Array[], b: readonly Float32Array[]): number {
  if (a.length !== b.length || a.some((x, i) => x.length !== b[i]!.length)) return Infinity;
  return Math.max(...a.map((x, k) => {
    const y = b[k]!;
    let most = 0, scale = 0;
    for (let i = 0; i < x.length; i++) {
      const d = Math.abs(x[i]! - y[i]!);
      if (!(d < Infinity)) return Infinity;
      most = Math.max(most, d);
      scale = Math.max(scale, Math.abs(y[i]!));
    }
    return scale === 0 ? Infinity : most / scale;
  }));
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((x, y) => x - y);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Four figures are more than a timing is good for. */
const round = (x: number): number => Number(x.toPrecision(4));

/**
 * Times what is judged against the shipped kernels, in turns. The runs that are timed are checked themselves: before each sample all that
 * the kernels write is NaN, within it each dispatch has other inputs than the one before, and after it the last one's outputs must be right.
 * Before all samples and after them they must be right on inputs that differ from those before in a few elements: kept answers would show.
 */
import type { Benchmark } from "../../../bench/benchmark.ts";
import type { Contender } from "../../../bench/contender.ts";
import { limitsFor, measure, type Limits } from "../../../bench/run.ts";
import { round } from "../../../bench/stats.ts";
import type { Arrays, Challenge, Letters, Tensors } from "../../../checks/challenge.ts";
import { getDevice } from "../../../engine/device.ts";
import { flush, withRecorder, type Launch } from "../../../engine/launch.ts";
import { collect, createBuffer, destroyBuffer, STORAGE, type Storage } from "../../../engine/memory.ts";
import { compared, type Compared, EMPTY } from "../time.ts";
import { download, type Home, placeOf, replay, type Replay } from "../replay.ts";
import { type Fault, figure, firstOff, isUnwritten, type Judged, largest, tensorsOf, TOLERANCE } from "./correct.ts";
import { valuesFor } from "./drawn.ts";

/** Inputs that take turns, and how much of them differs. */
const SETS = 3;
const CHANGED = 1 / 2;
/** How much of the last ones differs. */
const LITTLE = 1 / 64;
/** One that takes so many times the other's time is not asked for as many runs. */
const APART = 4;

interface Side {
  readonly launches: readonly Launch[];
  readonly outputs: Tensors;
}

/** One set of inputs, and what both sides launch on it. */
interface Round {
  readonly values: Arrays;
  readonly shipped: Side;
  readonly judged: Side;
}

export interface Raced {
  /** Null where that is known before it is timed. */
  readonly time: Compared | null;
  /** What the timed runs got wrong, though it was right when it was checked. */
  readonly fault: Fault | null;
}

export async function race(challenge: Challenge, judged: Judged, n: Letters, seed: number, limits: Partial<Limits>): Promise<Raced> {
  const set = getDevice().adapter.software ? "software" : "gpu";
  const home: Home = new Map();
  const { result: rounds, storages } = collect(() => roundsOf(challenge, judged, n, seed));
  flush();
  let nothing: GPUBuffer | null = null;
  try {
    const shipped = await replays(rounds, "shipped", home);
    const placed = rounds[0]!;
    shareOutputs(home, placed.shipped.outputs, placed.judged.outputs);
    placeAlike(home, placed.shipped.launches, placed.judged.launches);
    const entry = await replays(rounds, "judged", home);
    const clock = new Clock();
    const [sets, others] = [entry.slice(0, SETS), shipped.slice(0, SETS)];
    nothing = nanBuffer(Math.max(...[...home.values()].map(({ size }) => size), 4));
    const check = checkOf(challenge, n, rounds, SETS - 1, home);
    let fault: Fault | null = null;
    const ours = sampler("entry", rounds, "judged", sets, { home, nothing, clock }, async () => void (fault ??= await check()));
    const theirs = sampler("shipped", rounds, "shipped", others, { home, nothing, clock }, async () => undefined);
    const once = [await clock.of(() => ours.run(1)), await clock.of(() => theirs.run(1))] as const;
    const checkLast = checkOf(challenge, n, rounds, SETS, home);
    const another = sampler("entry", rounds, "judged", entry, { home, nothing, clock }, async () => void (fault ??= await checkLast()));
    await another.run(1);
    if (fault) return { time: null, fault };
    const measured = await measure(benchmarkOf(challenge), asContender(ours), [asContender(theirs)], {
      limits: { ...limitsFor(set, true), ...limits, equalRuns: Math.max(...once) < APART * Math.min(...once) },
      now: () => clock.now(),
    });
    if (!("error" in measured.ours)) await another.run(measured.ours.runsPerSample); // as long as the samples were
    const time = compared(measured, "shipped", set);
    return { time: { ...time, ms: round(time.ms / SETS), shippedMs: round(time.shippedMs / SETS) }, fault };
  } finally {
    for (const buffer of new Set([...home.values(), ...(nothing ? [nothing] : [])])) destroyBuffer(getDevice(), buffer);
    for (const storage of storages) storage.free();
  }
}

/** Those that are timed, and the last, each like the one before it. */
function roundsOf(challenge: Challenge, judged: Judged, n: Letters, seed: number): Round[] {
  const rounds: Round[] = [];
  for (let k = 0; k <= SETS; k++) {
    const before = rounds.at(-1);
    const changed = k === SETS ? LITTLE : CHANGED;
    const values = valuesFor(challenge, n, seed + 100 * k, before ? { like: { values: before.values, changed } } : {});
    const inputs = tensorsOf(challenge, n, values);
    rounds.push({ values, shipped: sideOf(challenge.shipped(inputs, n)), judged: sideOf(judged(inputs, n)) });
  }
  return rounds;
}

function sideOf(run: () => Tensors): Side {
  const launches: Launch[] = [];
  return { outputs: withRecorder({ launches }, run), launches };
}

/** A side's launches on each set. What they write is in the same buffers each time. */
async function replays(rounds: readonly Round[], side: "shipped" | "judged", home: Home): Promise<Replay[]> {
  const made: Replay[] = [];
  for (const {
    [side]: { launches },
  } of rounds) {
    if (made.length > 0) placeAlike(home, rounds[0]![side].launches, launches);
    made.push(await replay(launches, [...launches.keys()], home));
  }
  return made;
}

/** Gives launches that run the same kernels as others those others' buffers: memory would else decide between the same texts. */
function placeAlike(home: Home, from: readonly Launch[], to: readonly Launch[]): void {
  to.forEach(({ pipeline, bindings }, i) => {
    if (from[i]?.pipeline === pipeline) bindings.forEach(({ storage }, k) => put(home, from[i]!.bindings[k]!.storage, storage));
  });
}

function shareOutputs(home: Home, from: Tensors, to: Tensors): void {
  for (const [name, { storage }] of Object.entries(to)) put(home, from[name]!.storage, storage);
}

function put(home: Home, from: Storage, to: Storage): void {
  const buffer = home.get(from);
  if (buffer && to.state !== "live" && !home.has(to) && from.bytes === to.bytes) home.set(to, buffer);
}

/** A clock in ms that stands still while a sample is prepared or checked. */
class Clock {
  #apart = 0;
  now(): number {
    return performance.now() - this.#apart;
  }
  async without(body: () => Promise<void>): Promise<void> {
    const from = performance.now();
    await body();
    this.#apart += performance.now() - from;
  }
  async of(body: () => Promise<void>): Promise<number> {
    const from = this.now();
    await body();
    return this.now() - from;
  }
}

interface Sampler {
  readonly name: string;
  run(times: number): Promise<void>;
}

/** `run`: each set so many times in turns, between filling what is written with NaN and a check of it. */
function sampler(
  name: string,
  rounds: readonly Round[],
  side: "shipped" | "judged",
  sets: readonly Replay[],
  { home, nothing, clock }: { readonly home: Home; readonly nothing: GPUBuffer; readonly clock: Clock },
  check: () => Promise<void>,
): Sampler {
  const device = getDevice();
  const { launches } = rounds[0]![side];
  const written = new Set(
    launches.flatMap(({ bindings }) => bindings.flatMap((b) => (b.access === "read" ? [] : (home.get(b.storage.place.storage) ?? [])))),
  );
  const submit = (encode: (encoder: GPUCommandEncoder) => void) => {
    const encoder = device.gpu.createCommandEncoder();
    encode(encoder);
    device.guard(() => device.gpu.queue.submit([encoder.finish()]));
    return device.wait(device.gpu.queue.onSubmittedWorkDone()).then(() => undefined);
  };
  return {
    name,
    async run(times) {
      await clock.without(() =>
        submit((encoder) => written.forEach((buffer) => encoder.copyBufferToBuffer(nothing, 0, buffer, 0, buffer.size))),
      );
      await submit((encoder) => {
        const pass = encoder.beginComputePass();
        for (let i = 0; i < times; i++) for (const one of sets) one.dispatch(pass);
        pass.end();
      });
      await clock.without(check);
    },
  };
}

/** A buffer with all bits set. */
function nanBuffer(size: number): GPUBuffer {
  const device = getDevice();
  const buffer = createBuffer(device, { label: "not a number", size, usage: STORAGE });
  device.gpu.queue.writeBuffer(buffer, 0, new Uint8Array(size).fill(0xff));
  return buffer;
}

/**
 * Finds what the last dispatch, on the round `at`, left wrong. Kernels that change their inputs in place compute something else each time:
 * nothing is said of them.
 */
function checkOf(challenge: Challenge, n: Letters, rounds: readonly Round[], at: number, home: Home): () => Promise<Fault | null> {
  const last = rounds[at]!;
  if (last.judged.launches.some(({ bindings }) => bindings.some((b) => b.access === "update" && b.storage.state === "live")))
    return async () => null;
  const expected = challenge.reference(last.values, n);
  return async () => {
    for (const [name, { storage, offset, bytes, size }] of Object.entries(last.judged.outputs)) {
      const got = (await download(placeOf({ storage, offset }, home), bytes)).subarray(0, size);
      const off = firstOff(got, expected[name]!, challenge.tolerance);
      if (off === null) continue;
      const wanted = `right when it is checked, but in a timed run ${name}[${off}]: expected ${figure(expected[name]![off]!)}, got`;
      if (isUnwritten(got, off)) return { kind: "work left out", why: `${wanted} memory that was never written` };
      const why = `${wanted} ${figure(got[off]!)}`;
      const before = rounds.slice(0, at).map(({ values }) => challenge.reference(values, n)[name]![off]!);
      if (before.some((value) => Math.abs(value - got[off]!) <= TOLERANCE * largest(expected[name]!)))
        return { kind: "work left out", why: `${why}, which a run before had left` };
      return { kind: "wrong", why };
    }
    return null;
  };
}

const asContender = ({ name, run }: Sampler): Contender => ({
  name,
  version: "",
  flags: {},
  prepare: () => Promise.resolve({ run, result: () => Promise.resolve([Float32Array.of(1)]), dispose: () => undefined }), // checked by itself
});

const benchmarkOf = ({ op, title }: Challenge): Benchmark => ({
  ...EMPTY,
  name: title,
  work: { op, sizes: "1", n: {}, attrs: {}, inputs: {}, y: [] },
});

/** Judges an entry of a challenge: right on sizes and values that nobody knew, then timed against the shipped kernels. */
import type { Limits } from "../../../bench/run.ts";
import { round } from "../../../bench/stats.ts";
import { type Challenge, type Letters, sizesText } from "../../../checks/challenge.ts";
import { challengeNamed } from "../../../checks/challenges.ts";
import { harder } from "../../../checks/harder.ts";
import { getDevice } from "../../../engine/device.ts";
import { ShaderError, ValidationError } from "../../../engine/errors.ts";
import { withRecorder, type Launch } from "../../../engine/launch.ts";
import { scope } from "../../../engine/memory.ts";
import type { Pipeline } from "../../../engine/pipeline.ts";
import { rewriteModules } from "../../../checks/rewrite.ts";
import { Tensor } from "../../../engine/tensor.ts";
import { refusing, UsageError } from "../../errors.ts";
import { ORDER } from "../check.ts";
import { type Compared, verdictOf } from "../time.ts";
import { faultAt, type Fault, type Judged } from "./correct.ts";
import { hiddenSizes, nearSize, shapesOf } from "./drawn.ts";
import { type Entry, entryOf, LABEL, lineIn } from "./entry.ts";
import { race, type Raced } from "./race.ts";
import type { Checked, Judgement } from "./result-file.ts";

export interface JudgeOptions {
  readonly seed: number;
  readonly limits?: Partial<Limits>;
  /** Told before each step: what, and how many of all are done. */
  readonly tell?: (what: string, done: number, of: number) => void;
}

/** `text`: the entry; null for the shipped kernels themselves. Throws a `UsageError` where it cannot be run at all. */
export async function judge(
  name: string,
  text: string | null,
  { seed, limits = {}, tell = () => undefined }: JudgeOptions,
): Promise<Judgement> {
  const challenge = refusing(() => challengeNamed(name));
  const set = getDevice().adapter.software ? "software" : "gpu";
  const published = challenge.published[set];
  const entry = text === null ? null : entryOf(challenge, text);
  const judged: Judged = entry ? (inputs, n) => () => entry.run(inputs, n) : (inputs, n) => challenge.shipped(inputs, n);
  const sizes = hiddenSizes(challenge, seed);
  const near = nearSize(challenge, published, seed);
  const plan: Omit<Checked, "fault">[] = [
    { sizes: published, hidden: false },
    ...sizes.map((n) => ({ sizes: n, hidden: true })),
    ...(challenge.stretched ? [{ sizes: sizes.at(-1)!, hidden: true, stretched: true }] : []),
    ...(entry ? [{ sizes: sizes[0]!, hidden: true, reversed: true }] : []),
    { sizes: near, hidden: true },
  ];
  const steps = plan.length + 2;
  const checks: Checked[] = [];
  try {
    if (entry) for (const n of [published, ...sizes, near]) await compileEntry(challenge, entry, n);
    for (const [i, one] of plan.entries()) {
      tell(`right at ${sizesText(one.sizes)}`, i, steps);
      const check = () => faultAt(challenge, judged, one.sizes, seed + 10 * (i + 1), one.stretched);
      const fault = one.reversed ? await inOtherOrder(check) : await check();
      checks.push({ ...one, fault });
      if (fault && i === 0) break;
    }
    const wrong = refusalOf(checks);
    const raced: Timed[] = [];
    for (const [i, n] of (wrong ? [] : [published, near]).entries()) {
      if (raced.some(({ fault }) => fault)) break;
      tell(`timed at ${sizesText(n)}`, plan.length + i, steps);
      raced.push({ n, ...(await race(challenge, judged, n, seed + 1000 + i, { ...LIMITS, ...limits })) });
    }
    const refused = wrong ?? raced.find(({ fault }) => fault)?.fault ?? null;
    const times = raced.flatMap(({ n, time }) => (time ? [{ sizes: n, ...time }] : []));
    const about = { challenge: name, op: challenge.op, entry: text, hash: await hashOf(text ?? ""), seed };
    return { ...about, checks, refused, ...scoreOf(refused ? [] : times, set), times };
  } catch (error) {
    if (error instanceof ShaderError || error instanceof ValidationError)
      throw new UsageError(`expected WGSL that this adapter runs, got ${error.message.split("\n")[0]}`);
    throw error;
  }
}

/** Of each size: what somebody waits for. */
const LIMITS = { samples: 15, seconds: 2, atMostSeconds: 5 };

interface Timed extends Raced {
  readonly n: Letters;
}

/** An entry that is right on the size that everybody knows, and not on one near it, is refused as such; else the first fault is what there is to say. */
function refusalOf(checks: readonly Checked[]): Fault | null {
  const wrong = checks.find(({ fault }) => fault);
  if (!wrong) return null;
  const at = ({ sizes, fault }: Checked) => `at ${sizesText(sizes)}: ${fault!.why}`;
  const [published, near] = [checks[0]!, checks.at(-1)!];
  if (!published.fault && near.fault) return { kind: "fixed shape", why: `right at ${sizesText(published.sizes)}, not ${at(near)}` };
  return { kind: wrong.fault!.kind, why: at(wrong) };
}

function scoreOf(times: readonly Compared[], set: "software" | "gpu"): Pick<Judgement, "score" | "scoreRange" | "verdict"> {
  if (times.length === 0) return { score: null, scoreRange: null, verdict: null };
  const mean = (values: readonly number[]) => round(Math.exp(values.reduce((sum, v) => sum + Math.log(v), 0) / values.length));
  const [low, high] = [0, 1].map((end) => mean(times.map(({ ratioRange }) => ratioRange[end]!))) as [number, number];
  return { score: mean(times.map(({ ratio }) => ratio)), scoreRange: [low, high], verdict: verdictOf(low, high, set) };
}

/** The same with threads and workgroups in the other order, and workgroup memory that held something. */
async function inOtherOrder(check: () => Promise<Fault | null>): Promise<Fault | null> {
  const stop = rewriteModules(({ label, code }) => (label === LABEL ? harder(code) : null));
  try {
    const fault = await check();
    return fault && { kind: "wrong", why: `${ORDER}: ${fault.why}` };
  } finally {
    stop();
  }
}

/** An entry's modules on a size, each with its kernel. Nothing is compiled, and no values are needed. */
export function modulesOf(
  challenge: Challenge,
  entry: Entry,
  n: Letters,
): { readonly kernel: Entry["kernels"][number]; readonly pipeline: Pipeline }[] {
  const launches: Launch[] = [];
  scope(() =>
    withRecorder({ launches }, () => {
      entry.run(Object.fromEntries(Object.entries(shapesOf(challenge, n)).map(([name, shape]) => [name, Tensor.zeros(shape)])), n);
    }),
  );
  return entry.on(n).map((kernel, i) => ({ kernel, pipeline: launches[i]!.pipeline }));
}

/** Throws a `UsageError` that names the text's line where a kernel does not compile. */
async function compileEntry(challenge: Challenge, entry: Entry, n: Letters): Promise<void> {
  for (const { kernel, pipeline } of refusing(() => modulesOf(challenge, entry, n)))
    await pipeline.compile().catch((error: unknown) => {
      if (!(error instanceof ShaderError)) throw error;
      const message = error.message.split("\n")[0]!.replace(/^.*?WGSL \d+:\d+: /, "");
      throw new UsageError(`line ${lineIn(kernel, error.code, error.line)}: expected WGSL that this adapter runs, got: ${message}`);
    });
}

export async function hashOf(text: string): Promise<string> {
  const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

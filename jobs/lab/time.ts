/** Times an edited kernel against the shipped one, taking turns, on the first timed size that runs it. */
import type { Adapter, Benchmark } from "../../bench/benchmark.ts";
import type { Ceilings } from "../../bench/ceilings.ts";
import { peakFraction } from "../../bench/ceilings.ts";
import type { Contender } from "../../bench/contender.ts";
import { limitsFor, measure, type Limits, type Measured } from "../../bench/run.ts";
import { round } from "../../bench/stats.ts";
import type { Op, Sized, Timed } from "../../checks/op.ts";
import { getDevice } from "../../engine/device.ts";
import type { Launch } from "../../engine/launch.ts";
import { destroyBuffer } from "../../engine/memory.ts";
import { rewritten, rewriteModules } from "../../checks/rewrite.ts";
import { edited } from "./check.ts";
import { sameKernel, type Edit } from "./module.ts";
import { launchesOf } from "./modules.ts";
import { replay, type Home } from "./replay.ts";

/** Two texts that took turns. */
export interface Compared {
  readonly ms: number;
  readonly shippedMs: number;
  /** The shipped kernel's time over the edit's, median of pairs: above 1 the edit is faster. */
  readonly ratio: number;
  /** Holds it in 95 of 100 cases. */
  readonly ratioRange: readonly [number, number];
  readonly verdict: "faster" | "slower" | "not told apart";
  readonly pairs: number;
}

/** Of the edited module's launches alone. */
export interface TimeVerdict extends Compared {
  /** The size, and the variant where it is not the adapter's own choice. */
  readonly size: string;
}

export interface Roofline {
  readonly flops: number | null;
  readonly bytes: number;
  readonly gflops: number | null;
  readonly gbps: number;
  readonly ceilings: Ceilings;
  /** Of the least time that the ceilings allow. */
  readonly fraction: number;
  readonly boundBy: "memory" | "arithmetic";
}

/** A difference that no text explains: what else the machine does. Within it nothing is told apart. */
const BAND = { gpu: 0.02, software: 0.05 } as const;

export interface TimeOptions {
  readonly limits?: Partial<Limits>;
  readonly ceilings: () => Promise<Ceilings>;
  /** In place of the operation's timed sizes: "788x192". */
  readonly sizes?: string;
}

/** Null where no timed size runs the module. */
export async function timeEdit(
  op: Op,
  edits: readonly Edit[],
  { limits, ceilings, sizes }: TimeOptions,
): Promise<{ readonly time: TimeVerdict; readonly roofline: Roofline } | null> {
  const set = getDevice().adapter.software ? "software" : "gpu";
  const found = problemWith(op, edits, set, sizes ? [{ sizes, ...(op.timed[0]?.attrs ? { attrs: op.timed[0].attrs } : {}) }] : op.timed);
  if (!found) return null;
  const { sized, variant, passes } = found;
  const all = [...passes.forward, ...passes.backward];
  const chosen = all.flatMap(({ pipeline }, i) => (edits.some(({ shipped }) => sameKernel(shipped.code, pipeline.code)) ? [i] : []));
  const own: Home = new Map();
  const contender = (name: string, launches: readonly Launch[]): Contender => ({
    name,
    version: "",
    flags: {},
    async prepare() {
      const { run, read } = await replay(launches, chosen, own);
      return { run, result: read, dispose: () => undefined };
    },
  });
  const stop = rewriteModules(edited(edits));
  const other = all.map((launch) => ({ ...launch, pipeline: rewritten(launch.pipeline) }));
  stop();
  try {
    const shape: Benchmark = { ...EMPTY, name: sized.name, work: { op: op.name, sizes: "1", ...sized, inputs: {} } };
    const once = async () =>
      compared(
        await measure(shape, contender("edited", other), [contender("shipped", all)], {
          limits: { ...limitsFor(set, true), ...limits, equalRuns: true },
        }),
        "shipped",
        set,
      );
    const first = await once();
    const time = first.verdict === "not told apart" ? first : both(first, await once(), set);
    return {
      time: { size: `${sized.name}${variant ? ` (${variant})` : ""}`, ...time },
      roofline: roofline(
        sized,
        passes,
        chosen.map((i) => all[i]!),
        time.ms,
        await ceilings(),
      ),
    };
  } finally {
    for (const buffer of own.values()) destroyBuffer(getDevice(), buffer);
    passes.dispose();
  }
}

/** Of a measurement against a rival that is the shipped text. Throws where one of both failed, or their results differ. */
export function compared({ ours, rivals, paired }: Measured, rival: string, set: Adapter): Compared {
  const shipped = rivals[rival]!;
  if ("error" in ours) throw new Error(ours.error);
  if ("error" in shipped) throw new Error(shipped.error);
  const { ratio, low, high } = paired[rival]!;
  return {
    ms: ours.medianMs,
    shippedMs: shipped.medianMs,
    ratio,
    ratioRange: [low, high],
    verdict: verdictOf(low, high, set),
    pairs: shipped.runs,
  };
}

/** What other work on the machine does to one measurement, it seldom does to the next: a difference is told where both have it. */
function both(a: Compared, b: Compared, set: Adapter): Compared {
  const [low, high] = [Math.min(a.ratioRange[0], b.ratioRange[0]), Math.max(a.ratioRange[1], b.ratioRange[1])];
  const mean = (x: number, y: number) => round((x + y) / 2);
  return {
    ms: mean(a.ms, b.ms),
    shippedMs: mean(a.shippedMs, b.shippedMs),
    ratio: mean(a.ratio, b.ratio),
    ratioRange: [low, high],
    verdict: verdictOf(low, high, set),
    pairs: a.pairs + b.pairs,
  };
}

/** What a ratio's range says. */
export const verdictOf = (low: number, high: number, set: Adapter): Compared["verdict"] =>
  low > 1 + BAND[set] ? "faster" : high < 1 - BAND[set] ? "slower" : "not told apart";

/** What a benchmark says beside its work. */
export const EMPTY = {
  suite: "kernels",
  dtype: "f32",
  backward: false,
  flops: 0,
  bytes: 0,
  tolerance: 1e-3,
  reason: "the same values, computed in another way",
  compared: 1,
  sets: ["software", "gpu"],
  quick: true,
} as const;

/** The first timed size, by the adapter's own choice of a variant or another, that runs every edit. */
export function problemWith(op: Op, edits: readonly Edit[], set: "software" | "gpu", timed: readonly Timed[] = op.timed) {
  for (const variant of [undefined, ...op.variants])
    for (const { sizes, attrs, on = set } of timed) {
      const sized = op.problem(sizes, attrs);
      if (on !== set || (variant !== undefined && !op.needs(variant, sized.n))) continue;
      const passes = attempt(() => launchesOf(op, sized, variant));
      if (!passes) continue; // a variant that this adapter lacks a feature for
      const all = [...passes.forward, ...passes.backward];
      if (edits.every(({ shipped }) => all.some(({ pipeline }) => sameKernel(shipped.code, pipeline.code))))
        return { sized, variant, passes };
      passes.dispose();
    }
  return null;
}

function attempt<T>(body: () => T): T | null {
  try {
    return body();
  } catch {
    return null;
  }
}

/** Bytes are those of the launches' buffers, each once a launch; flops the operation's own, where all of a pass is this module. */
function roofline(
  sized: Sized,
  { forward, backward }: Pick<NonNullable<ReturnType<typeof problemWith>>["passes"], "forward" | "backward">,
  chosen: readonly Launch[],
  ms: number,
  ceilings: Ceilings,
): Roofline {
  const bytes = chosen.reduce(
    (sum, { bindings }) => sum + bindings.reduce((all, b) => all + b.bytes * (b.access === "update" ? 2 : 1), 0),
    0,
  );
  const label = chosen[0]!.pipeline.label;
  const share = (pass: readonly Launch[], flops: number): number =>
    pass.every(({ pipeline }) => pipeline.label === label)
      ? (flops * pass.filter((l) => chosen.includes(l)).length) / Math.max(1, pass.length)
      : 0;
  const flops = share(forward, sized.flops) + share(backward, 2 * sized.flops) || null;
  return {
    flops,
    bytes,
    gflops: flops === null ? null : Number((flops / ms / 1e6).toPrecision(4)),
    gbps: Number((bytes / ms / 1e6).toPrecision(4)),
    ceilings,
    fraction: peakFraction(ceilings, flops ?? 0, bytes, ms)!,
    boundBy: (flops ?? 0) / ceilings.fmaGFlops > bytes / ceilings.copyGBps ? "arithmetic" : "memory",
  };
}

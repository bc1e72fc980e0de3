/**
 * The step that measures what memory bounds: every variant of each row kernel and of the update, forward and backward apart, on
 * arrays that no cache holds, beside what the adapter copies. Variants take turns; the results of all are held to the first one's.
 */
import { gradients } from "../../engine/autograd.ts";
import type { Device } from "../../engine/device.ts";
import { defineKernel } from "../../engine/kernel.ts";
import { flush, trimPool } from "../../engine/launch.ts";
import { collect } from "../../engine/memory.ts";
import { record, type Plan } from "../../engine/plan.ts";
import { numel } from "../../engine/shape.ts";
import { Tensor } from "../../engine/tensor.ts";
import { measureCeilings } from "../ceilings.ts";
import { profile } from "../../train/profile.ts";
import { median, round } from "../stats.ts";
import { copyInto, difference, filled } from "./arrays.ts";
import { rowProblems, type RowProblem } from "./rows-problems.ts";
import { open, save, stopwatch, type Run } from "./step.ts";

const SAMPLE_MS = 5;
/** Before each pass is timed: a GPU that was idle has low clocks. */
const WARM_MS = 150;
const ROUNDS = 7;
/** Variants slower than the best by this factor in the first turn are not timed further. */
const HOPELESS = 3;
/** Largest difference between two variants' results, relative to the largest value: sums of up to 10^5 values in other orders. */
const TOLERANCE = 1e-4;

interface Timed {
  readonly variant: string;
  /** Wall clock, runs back to back. */
  readonly ms?: number;
  readonly gbps?: number;
  readonly ofCopy?: number;
  /** By the GPU's clock, each launch alone. */
  readonly launches?: readonly { readonly kernel: string; readonly ms: number }[];
  /** Largest difference from the first variant's results, relative. */
  readonly off?: number;
  readonly error?: string;
}

interface Pass {
  readonly name: string;
  readonly pass: "forward" | "backward" | "update";
  readonly bytes: number;
  readonly variants: readonly Timed[];
}

const COPY = 2 ** 25;

// A copy by another number of threads in a workgroup, and of vectors a thread: whether the ceiling is one.
const copies = (
  [
    [64, 1],
    [256, 1],
    [256, 4],
  ] as const
).map(([workgroup, per]) => ({
  name: `copy, ${workgroup} threads, ${per} each`,
  launch: (x: Tensor) =>
    defineKernel({
      name: "bench.copy",
      inputs: { x: "vec4f" },
      outputs: { y: "vec4f" },
      workgroup,
      code:
        Array.from({ length: per }, (_, k) => `let v${k} = x[group * ${workgroup * per}u + ${k * workgroup}u + li];`).join("\n") +
        Array.from({ length: per }, (_, k) => `y[group * ${workgroup * per}u + ${k * workgroup}u + li] = v${k};`).join("\n"),
    })({ inputs: { x }, outputs: { y: x.shape }, groups: x.size / 4 / workgroup / per }).y,
}));

export async function rows(run: Run): Promise<void> {
  const device = await open("safe", run);
  const over = stopwatch(run.seconds);
  const ceilings = await measureCeilings(device.adapter.software ? "software" : "gpu");
  console.log(`copies ${ceilings.copyGBps} GB/s (bench/ceilings.ts)`);
  const passes: Pass[] = [],
    notRun: string[] = [];
  const keep = () => save(run.out, "rows", { adapter: device.adapter, date: new Date().toISOString(), ceilings, passes, notRun });
  const add = (pass: Pass) => {
    passes.push(pass);
    print(pass);
    keep();
  };
  const n = run.smoke ? COPY / 64 : COPY;
  const x = filled([n], 1);
  add(
    await compare(
      { name: "copy", pass: "forward", bytes: 8 * n, copyGBps: ceilings.copyGBps },
      copies.map(({ name, launch }) => ({ variant: name, prepare: () => recorded(() => [launch(x)]) })),
    ),
  );
  x.dispose();
  for (const problem of rowProblems(run.smoke)) {
    const lacks = tooLarge(device, problem);
    if (lacks || over()) notRun.push(`${problem.name}: ${lacks ?? "the step's time is over"}`);
    else for (const pass of await measure(problem, ceilings.copyGBps)) add(pass);
    release();
    if (device.lostError) throw device.lostError;
  }
  keep();
  for (const name of notRun) console.log(`not run: ${name}`);
  const bad = passes.flatMap(({ name, pass, variants }) =>
    variants.filter((v) => v.error && !v.error.startsWith("more than")).map((v) => `${name} ${pass}, ${v.variant}: ${v.error}`),
  );
  if (bad.length > 0) throw new Error(`gpu: expected every variant to run and to agree, got ${bad.length} that did not: ${bad.join("; ")}`);
}

function tooLarge({ limits }: Device, { inputs }: RowProblem): string | null {
  const most = Math.max(...Object.values(inputs).map((shape) => 4 * numel(shape)));
  return most > limits.maxStorageBufferBindingSize
    ? `${most} bytes in a buffer, more than the adapter binds (${limits.maxStorageBufferBindingSize})`
    : null;
}

/** Gives free memory back; launches that wait may still use it. */
function release(): void {
  flush();
  trimPool();
}

interface Ready {
  readonly plan: Plan<readonly Tensor[]>;
  release(): void;
}

const recorded = async (run: () => readonly Tensor[], release = (): void => undefined): Promise<Ready> => ({
  plan: await record(run),
  release,
});

interface Contender {
  readonly variant: string;
  /** Makes what is timed; the plan's result is what is compared. Called once. */
  prepare(): Promise<Ready>;
  /** Puts back what runs change. */
  reset?(): void;
}

async function measure(problem: RowProblem, copyGBps: number): Promise<Pass[]> {
  const { name, inputs, wanted, variants, run } = problem;
  const tensors: Record<string, Tensor> = {};
  Object.entries(inputs).forEach(
    ([key, shape], i) => (tensors[key] = filled(shape, i + 1, ...(problem.range?.[key] ?? ([-1, 1] as const)))),
  );
  const labels =
    problem.labels &&
    Tensor.from(
      Uint32Array.from({ length: problem.labels.rows }, (_, i) => (i * 7919) % problem.labels!.classes),
      [problem.labels.rows],
      "u32",
    );
  if (labels) tensors["labels"] = labels;
  const passes: Pass[] = [];
  try {
    if (wanted === null) {
      const reset = () =>
        Object.entries(inputs).forEach(([key, shape], i) => {
          const fresh = filled(shape, i + 1, ...(problem.range?.[key] ?? ([-1, 1] as const)));
          copyInto(fresh, tensors[key]!);
          fresh.dispose();
        });
      passes.push(
        await compare(
          { name, pass: "update", bytes: problem.bytes, copyGBps },
          variants.map((variant) => ({ variant, reset, prepare: () => recorded(() => run(tensors, variant)) })),
        ),
      );
      return passes;
    }
    passes.push(
      await compare(
        { name, pass: "forward", bytes: problem.bytes, copyGBps },
        variants.map((variant) => ({ variant, prepare: () => recorded(() => run(tensors, variant)) })),
      ),
    );
    const of = wanted.map((key) => tensors[key]!);
    for (const t of of) t.requiresGrad = true;
    if (of.length > 0) {
      passes.push(
        await compare(
          { name, pass: "backward", bytes: problem.bytesBackward, copyGBps },
          variants.map((variant) => ({
            variant,
            prepare: () => {
              // The forward now, so that the plan has the backward alone.
              const {
                result: [y],
                storages,
              } = collect(() => run(tensors, variant));
              return recorded(
                () => gradients(y!, of, y!.size === 1 ? undefined : tensors["dy"]!),
                () => {
                  for (const s of storages) s.free();
                },
              );
            },
          })),
        ),
      );
    }
    return passes;
  } finally {
    for (const t of Object.values(tensors)) t.dispose();
  }
}

async function compare(
  { name, pass, bytes, copyGBps }: { name: string; pass: Pass["pass"]; bytes: number; copyGBps: number },
  contenders: readonly Contender[],
): Promise<Pass> {
  const found = new Map<string, Timed>();
  const ready: (Ready & { readonly contender: Contender; readonly samples: number[]; times: number })[] = [];
  const reason = (error: unknown) => (error as Error).message.split("\n")[0]!;
  const drop = ({ plan, release }: Ready) => {
    plan.dispose();
    release();
  };
  let first: Tensor[] | null = null;
  for (const contender of contenders) {
    const { variant } = contender;
    try {
      const { plan, release } = await contender.prepare();
      ready.push({ contender, plan, release, samples: [], times: 1 });
      contender.reset?.();
      plan.run();
      await plan.idle();
      let off = 0;
      if (first === null) {
        // A copy: an update's own tensors are changed by the next variant.
        first = plan.result.map((t) => {
          const copy = Tensor.zeros(t.shape);
          copyInto(t, copy);
          return copy;
        });
      } else for (const [i, t] of plan.result.entries()) off = Math.max(off, await difference(t, first[i]!));
      found.set(variant, { variant, off: round(off), ...(off > TOLERANCE ? { error: `WRONG: ${off} from the first variant` } : {}) });
    } catch (error) {
      found.set(variant, { variant, error: reason(error) });
      if (ready.at(-1)?.contender === contender) drop(ready.pop()!);
    }
  }
  for (const t of first ?? []) t.dispose();
  release();
  const timed = async (plan: Plan<unknown>, times: number): Promise<number> => {
    const from = performance.now();
    for (let i = 0; i < times; i++) plan.run();
    await plan.idle();
    return (performance.now() - from) / times;
  };
  const cold = performance.now();
  while (ready.length > 0 && performance.now() - cold < WARM_MS) await timed(ready[0]!.plan, 4);
  const rough = new Map<Plan<unknown>, number>();
  for (const { plan } of ready) rough.set(plan, Math.min(await timed(plan, 1), await timed(plan, 2)));
  const best = Math.min(...rough.values());
  const kept = ready.filter(({ plan }) => rough.get(plan)! <= HOPELESS * best);
  for (const {
    contender: { variant },
    plan,
  } of ready) {
    if (rough.get(plan)! > HOPELESS * best)
      found.set(variant, { ...found.get(variant)!, ms: round(rough.get(plan)!), error: `more than ${HOPELESS} times the best` });
  }
  for (const contender of kept) {
    let span = 0;
    while ((span = contender.times * (await timed(contender.plan, contender.times))) < SAMPLE_MS)
      contender.times = Math.ceil(contender.times * Math.min(10, Math.max(1.5, (1.3 * SAMPLE_MS) / Math.max(1e-3, span))));
  }
  for (let turn = 0; turn < ROUNDS; turn++)
    for (const r of turn % 2 === 0 ? kept : kept.toReversed()) r.samples.push(await timed(r.plan, r.times));
  for (const {
    contender: { variant },
    plan,
    samples,
  } of kept) {
    const ms = median(samples);
    found.set(variant, {
      ...found.get(variant)!,
      ms: round(ms),
      gbps: round(bytes / ms / 1e6),
      ofCopy: round(bytes / ms / 1e6 / copyGBps),
      launches: await profiled(plan),
    });
  }
  ready.forEach(drop);
  return { name, pass, bytes, variants: contenders.map(({ variant }) => found.get(variant)!) };
}

/** Each launch's time, the least of three. */
async function profiled(plan: Plan<unknown>): Promise<{ kernel: string; ms: number }[]> {
  try {
    const runs = [await profile(plan), await profile(plan), await profile(plan)];
    return runs[0]!.map(({ kernel }, i) => ({ kernel, ms: round(Math.min(...runs.map((r) => r[i]!.ms))) }));
  } catch {
    return plan.kernels.map((kernel) => ({ kernel, ms: NaN })); // no timestamps here
  }
}

function print({ name, pass, bytes, variants }: Pass): void {
  console.log(`${name} ${pass} (${(bytes / 1e6).toFixed(0)} MB)`);
  const best = Math.min(...variants.map((v) => v.ms ?? Infinity));
  for (const v of variants) {
    const figures =
      v.gbps === undefined
        ? v.ms === undefined
          ? ""
          : `${String(v.ms).padStart(9)} ms`
        : `${String(v.ms).padStart(9)} ms ${String(v.gbps).padStart(7)} GB/s ${(100 * v.ofCopy!).toFixed(0).padStart(4)} % of copy${v.ms === best ? " *" : "  "}`;
    const launches = (v.launches ?? []).map(({ kernel, ms }) => `${kernel} ${ms}`).join(", ");
    console.log(`  ${v.variant.padEnd(26)}${figures}${v.off ? ` off ${v.off.toExponential(0)}` : ""} ${v.error ?? launches}`);
  }
}

/** DeiT's three sizes, training and inference, ours alone, each in a process of its own: one that runs out of memory harms no other. */
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Inputs, ModelWork } from "../benchmark.ts";
import type { Contender, Prepared } from "../contender.ts";
import { ours } from "../ours.ts";
import { measure, type Measured } from "../run.ts";
import { getDevice } from "../../engine/device.ts";
import { record, type Plan } from "../../engine/plan.ts";
import { readAll, Tensor } from "../../engine/tensor.ts";
import { createModel } from "../../models/model.ts";
import { initialState, loadParams, ParameterStore } from "../../models/params.ts";
import { storedModel, storedParams } from "../../models/mixed-precision.ts";
import { useSubgroupMatrix } from "../../kernels/gemm/matrix.ts";
import { Optimizer } from "../../train/optimizer.ts";
import { makeRecipe } from "../../train/recipe.ts";
import { recordStep } from "../../train/step.ts";
import { BATCHES, modelCase, SIZES, type Mode, type Size } from "./cases.ts";
import { checked, limitsOf, line } from "./measure.ts";
import { open, read, save, stopwatch, type Run, type Toggles } from "./step.ts";

export interface ModelRun {
  readonly mode: Mode;
  readonly size: Size;
  readonly batch: number;
  readonly dtype: "f32" | "f16";
  readonly toggles: Toggles;
}

export type ModelResult = ModelRun & { readonly imagesPerSecond: number | null; readonly measured: Measured };

const nameOf = ({ mode, size, dtype, toggles }: Omit<ModelRun, "batch">): string =>
  `${mode}-${size}-${dtype}${toggles === "unsafe" || toggles === "matrix" ? `-${toggles}` : ""}`;

/** Tries batches from the largest down until one runs. `which`: default all sizes and modes. */
export function models(step: string, run: Run, wanted: readonly Omit<ModelRun, "batch">[]): void {
  const over = stopwatch(run.seconds);
  const results: ModelResult[] = [];
  const failures: string[] = [];
  for (const one of wanted) {
    let found: ModelResult | null = null,
      why = "the step's time was over";
    for (const batch of run.smoke ? [4] : BATCHES) {
      if (found || over()) break;
      const child = `model-${nameOf(one)}`;
      const args = [
        fileURLToPath(import.meta.url),
        "model",
        "--out",
        run.out,
        "--model",
        JSON.stringify({ ...one, batch }),
        ...(run.smoke ? ["--smoke"] : []),
      ];
      // This file is bundled: the program that runs is the one that was started.
      args[0] = process.argv[1]!;
      const { stdout, stderr, status } = spawnSync(process.execPath, args, { encoding: "utf8", timeout: 90_000, killSignal: "SIGKILL" });
      process.stdout.write(stdout);
      found = status === 0 ? read<ModelResult>(run.out, child) : null;
      rmSync(`${run.out}/steps/${child}.json`, { force: true });
      if (!found)
        console.log(
          `${nameOf(one)} at batch ${batch}: ${(why = stderr.trim().split("\n").at(-1) || `ended with ${status ?? "no answer in 90 s"}`)}`,
        );
    }
    if (found) results.push(found);
    else failures.push(`${nameOf(one)}: ${why}`);
    save(run.out, step, { models: results, failures });
  }
  if (failures.length > 0) throw new Error(`gpu: expected every model to run, got ${failures.join("; ")}`);
}

export const allOf = (dtype: "f32" | "f16", toggles: Toggles): Omit<ModelRun, "batch">[] =>
  (["train", "forward"] as const).flatMap((mode) => SIZES.map((size) => ({ mode, size, dtype, toggles })));

/** One of them, in the process that `models` started. */
export async function model(run: Run, one: ModelRun, version: string): Promise<void> {
  const device = await open(one.toggles, run);
  if (one.dtype === "f16" && !device.features.has("shader-f16")) throw new Error("gpu: expected shader-f16, got an adapter without");
  if (one.toggles === "matrix") {
    const { on, reason } = await useSubgroupMatrix();
    if (!on) throw new Error(`gpu: expected products on tensor cores, got none: ${reason}`);
  }
  const c = modelCase(one.mode, one.size, one.batch, run.smoke);
  const contender = checked(one.dtype === "f16" ? halfPrecision(version) : ours(version));
  const m = await measure(c, contender, [], { limits: limitsOf(run.smoke, true) });
  console.log(`${one.dtype} ${line(m)}`);
  if ("error" in m.ours) throw new Error(m.ours.error);
  const measured =
    one.dtype === "f16" ? { ...m, name: `${m.name} f16${one.toggles === "matrix" ? ", tensor cores" : ""}`, dtype: "f16" as never } : m;
  save(run.out, `model-${nameOf(one)}`, { ...one, imagesPerSecond: (1000 * one.batch) / m.ours.medianMs, measured } satisfies ModelResult);
}

/** Activations and matrices stored as f16, sums and parameters f32, the loss scaled: what `train --dtype f16` runs. */
const halfPrecision = (version: string): Contender => ({
  name: "ours f16",
  version,
  flags: { dtype: "f16" },
  async prepare({ work }, inputs) {
    const before = getDevice().stats.bytesLive;
    const prepared = await ("recipe" in work && work.op === "train" ? training(work, inputs) : inference(work as ModelWork, inputs));
    return { ...prepared, bytes: () => getDevice().stats.bytesLive - before };
  },
});

const imagesOf = (inputs: Inputs): Tensor => Tensor.from(inputs.get("x")!.data, inputs.get("x")!.shape);

async function inference({ config }: ModelWork, inputs: Inputs): Promise<Prepared> {
  const half = storedModel(createModel({ ...config }), "f16");
  const params = storedParams(loadParams("gpu", half.params, initialState(half.params, 1)), "f16");
  const x = imagesOf(inputs);
  const plan = await record(() => half.forward(params, x).logits);
  return prepared(
    plan,
    [plan.result],
    () => undefined,
    () => {
      plan.dispose();
      for (const t of [x, ...Object.values(params)]) t.dispose();
    },
  );
}

async function training({ B, config, recipe: r }: Extract<ModelWork, { op: "train" }>, inputs: Inputs): Promise<Prepared> {
  const whole = createModel({ ...config });
  const recipe = makeRecipe({ ...r, batchSize: B, emaDecay: null, mixup: 0, cutmix: 0, dropPath: 0, repeats: 1, dtype: "f16" });
  const store = new ParameterStore("gpu", whole.params, initialState(whole.params, 1), undefined, "f16");
  const optimizer = new Optimizer(recipe, store);
  const x = imagesOf(inputs);
  const step = await recordStep({ model: storedModel(whole, "f16"), store, optimizer, recipe, input: () => x, teacher: null });
  step.labels.write(Uint32Array.from({ length: B }, (_, i) => i % config.numClasses));
  let t = 0;
  const next = () => {
    t++;
    step.scalars.set({ ...optimizer.scalarsAt(t, r.lr), keep: 0, seed: 1, step: t });
  };
  return prepared(step.batch, [step.batch.result.loss], next, () => {
    step.dispose();
    optimizer.dispose();
    store.dispose();
    x.dispose();
  });
}

function prepared(plan: Plan<unknown>, results: readonly Tensor[], next: () => void, dispose: () => void): Prepared {
  return {
    async run(times) {
      for (let i = 0; i < times; i++) {
        next();
        plan.run();
      }
      await plan.idle();
    },
    result: async () => (await readAll(results)) as Float32Array[],
    launches: plan.launches,
    dispose,
  };
}

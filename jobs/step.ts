/** `step`: updates with AdamW on one batch from a file. Weight decay skips what timm's does: biases, norms, tokens and positions. */
import { record } from "../engine/plan.ts";
import { Scalars } from "../kernels/shared/scalars.ts";
import { readAll } from "../engine/tensor.ts";
import { isDistillationHead } from "../models/heads.ts";
import { ParameterStore } from "../models/params.ts";
import { Optimizer, optimizerScalars } from "../train/optimizer.ts";
import { makeRecipe } from "../train/recipe.ts";
import type { Host } from "./host.ts";
import { refusing } from "./errors.ts";
import { writeTensors, type FloatArray } from "./files/tensor-file.ts";
import { readModel } from "./forward.ts";
import { disposeBatch, lossAndGradients, readBatch, type GradArgs } from "./grad.ts";

export interface StepArgs extends GradArgs {
  readonly steps: number;
  readonly lr: number;
  readonly weightDecay: number;
}

export interface StepResult {
  readonly model: string;
  readonly losses: readonly number[];
  readonly launchesPerStep: number;
}

export default async function stepJob(host: Host, args: StepArgs): Promise<StepResult> {
  const recipe = refusing(() => makeRecipe({ lr: args.lr, weightDecay: args.weightDecay, emaDecay: null }));
  const { model, state } = await readModel(host, args);
  const batch = await readBatch(host, args.in, model, args);
  // A head that the loss does not see has no gradient, and PyTorch leaves out of the update what has none.
  const specs = model.params.map((s) => (args.distillation === "none" && isDistillationHead(s.name) ? { ...s, trainable: false } : s));
  const store = refusing(() => new ParameterStore("weights", specs, state), args.weights);
  const optimizer = new Optimizer(recipe, store);
  const scalars = new Scalars(optimizerScalars);
  const plan = await record(() => refusing(() => ({ loss: lossAndGradients(model, store, batch, args), norm: optimizer.step(scalars) })), {
    label: "step",
    onCompile: (done, total) => host.progress({ label: "compiling kernels", done, total }),
  });
  const losses: number[] = [];
  for (let t = 1; t <= args.steps; t++) {
    scalars.set(optimizer.scalarsAt(t, args.lr));
    plan.run();
    const [loss, norm] = (await readAll([plan.result.loss, plan.result.norm])) as [Float32Array, Float32Array];
    if (norm[1] !== 1) throw new Error(`expected finite gradients in step ${t}, got loss ${loss[0]} with gradients that are not`);
    losses.push(loss[0]!);
    host.progress({ label: "step", done: t, total: args.steps, note: `loss ${loss[0]!.toFixed(4)}` });
  }
  const parameters = await store.state();
  plan.dispose();
  optimizer.dispose();
  store.dispose();
  scalars.tensor.dispose();
  disposeBatch(batch);

  const out = new Map<string, FloatArray>(parameters);
  out.set("losses", { shape: [losses.length], data: Float32Array.from(losses) });
  await writeTensors(host, args.out, out);
  return { model: model.name, losses, launchesPerStep: plan.launches };
}

/** `grad`: the loss of a batch from a file, and its gradient for every parameter. The model is in training mode, without stochastic depth. */
import { gradients } from "../engine/autograd.ts";
import { record } from "../engine/plan.ts";
import { place } from "../kernels/shared/place.ts";
import { Tensor } from "../engine/tensor.ts";
import { mul } from "../kernels/elementwise.ts";
import { sum } from "../kernels/shared/reduce.ts";
import type { Model } from "../models/model.ts";
import { ParameterStore } from "../models/params.ts";
import { distillationLoss } from "../train/loss.ts";
import { refusing, UsageError } from "./errors.ts";
import type { Host } from "./host.ts";
import { checkNames, floatsOf, labelsOf, readTensors, writeTensors, type FloatArray, type TensorFile } from "./files/tensor-file.ts";
import { readModel, type ModelArgs } from "./forward.ts";

export interface LossArgs {
  readonly distillation: "none" | "soft" | "hard";
  readonly alpha: number;
  readonly tau: number;
  readonly reduction: "numel" | "batchmean";
  readonly labelSmoothing: number;
}

export interface GradArgs extends ModelArgs, LossArgs {
  readonly in: string;
  readonly out: string;
}

export interface GradResult {
  readonly model: string;
  readonly loss: number;
  /** Norm of all gradients together. */
  readonly norm: number;
  readonly parameters: number;
}

export default async function gradJob(host: Host, args: GradArgs): Promise<GradResult> {
  const { model, state } = await readModel(host, args);
  const batch = await readBatch(host, args.in, model, args);
  const store = refusing(() => new ParameterStore("weights", model.params, state), args.weights);
  const plan = await record(() => refusing(() => lossAndGradients(model, store, batch, args)), {
    label: "grad",
    onCompile: (done, total) => host.progress({ label: "compiling kernels", done, total }),
  });
  plan.run();
  const loss = await plan.result.floats();
  const grads = await store.readFlat(store.grads);
  plan.dispose();
  store.dispose();
  disposeBatch(batch);

  const trained = model.params.filter((s) => s.trainable);
  const out = new Map<string, FloatArray>([["loss", { shape: [], data: loss }]]);
  let squares = 0;
  for (const { name } of trained) {
    const grad = grads.get(name)!;
    for (const g of grad.data) squares += g * g;
    out.set(`grad.${name}`, grad);
  }
  await writeTensors(host, args.out, out);
  return { model: model.name, loss: loss[0]!, norm: Math.sqrt(squares), parameters: trained.length };
}

/** A batch on the GPU: images, their labels or targets, and the teacher's answers where distilling. */
export interface Batch {
  readonly x: Tensor;
  readonly labels: Tensor | null;
  readonly target: Tensor | null;
  readonly teacherLogits: Tensor | null;
  /** Of a model without a head: the features' gradient [B, D]. */
  readonly dy: Tensor | null;
}

export async function readBatch(host: Host, path: string, model: Model, { distillation, labelSmoothing }: LossArgs): Promise<Batch> {
  if (distillation !== "none" && !model.distilled)
    throw new UsageError(`expected a model with a distillation token for --distillation ${distillation}, got ${model.name}`);
  const file = await readTensors(host, path);
  const distils = distillation !== "none";
  if (model.numClasses === 0) return headlessBatch(file, model, path);
  checkNames(file, distils ? ["x", "teacher_logits"] : ["x"], ["labels", "target", ...(distils ? [] : ["teacher_logits"])], path);
  if (file.has("labels") === file.has("target"))
    throw new UsageError(`expected either labels or target in ${path}, got ${file.has("labels") ? "both" : "neither"}`);
  if (file.has("target") && labelSmoothing !== 0)
    throw new UsageError(`expected labels for --label-smoothing ${labelSmoothing}, got a target, which carries its own`);
  const x = imagesOf(file, model);
  const B = x.shape[0] ?? 0,
    K = model.numClasses;
  const perClass = (name: string) => {
    const { data, shape } = floatsOf(file, name, [B, K]);
    return () => Tensor.from(data, shape);
  };
  // All checks come before the first upload.
  const labels = file.has("labels") ? labelsOf(file, "labels", B, K) : null;
  const target = file.has("target") ? perClass("target") : null;
  const teacher = distils ? perClass("teacher_logits") : null;
  return {
    x: Tensor.from(x.data, x.shape),
    labels: labels && Tensor.from(labels, [B], "u32"),
    target: target?.() ?? null,
    teacherLogits: teacher?.() ?? null,
    dy: null,
  };
}

function imagesOf(file: TensorFile, { name, imageShape }: Model): FloatArray {
  const x = floatsOf(file, "x");
  if (x.shape.length !== 4 || String(x.shape.slice(1)) !== String(imageShape))
    throw new UsageError(`expected x [B,${imageShape}] for ${name}, got [${x.shape}]`);
  return x;
}

/** Of a model without a head: images, and what to multiply its features by. */
function headlessBatch(file: TensorFile, model: Model, path: string): Batch {
  checkNames(file, ["x", "dy"], [], path);
  const x = imagesOf(file, model);
  const dy = floatsOf(file, "dy", [x.shape[0]!, model.featureWidth]);
  return { x: Tensor.from(x.data, x.shape), dy: Tensor.from(dy.data, dy.shape), labels: null, target: null, teacherLogits: null };
}

export function disposeBatch({ x, labels, target, teacherLogits, dy }: Batch): void {
  for (const t of [x, labels, target, teacherLogits, dy]) t?.dispose();
}

/** Forward, loss, and backward into `store.grads`. Returns the loss; without a head the sum of the features times `dy`. */
export function lossAndGradients(model: Model, store: ParameterStore, batch: Batch, args: LossArgs): Tensor {
  const loss = lossOf(model, store, batch, args);
  const targets = store.gradTargets;
  gradients(loss, store.trained).forEach((grad, i) => place(grad, targets[i]!));
  return loss;
}

function lossOf(model: Model, store: ParameterStore, { x, labels, target, teacherLogits, dy }: Batch, args: LossArgs): Tensor {
  const { logits, logitsCls, logitsDist } = model.forward(store.tensors, x, { training: true });
  if (dy) return sum(mul(logits, dy));
  return distillationLoss({
    logits: logitsCls,
    logitsDist,
    teacherLogits,
    ...(labels ? { labels } : { target: target! }),
    labelSmoothing: args.labelSmoothing,
    kind: args.distillation,
    alpha: args.alpha,
    tau: args.tau,
    reduction: args.reduction,
  }).loss;
}

/** `grad`: the loss of a batch from a file, and its gradient for every parameter. The model is in training mode, without stochastic depth. */
import { gradients } from "../engine/autograd.ts";
import { record } from "../engine/plan.ts";
import { place } from "../kernels/shared/place.ts";
import { Tensor } from "../engine/tensor.ts";
import type { Model } from "../models/model.ts";
import { ParameterStore } from "../models/params.ts";
import { distillationLoss } from "../train/loss.ts";
import { refusing, UsageError } from "./errors.ts";
import type { Host } from "./host.ts";
import { checkNames, floatsOf, labelsOf, readTensors, writeTensors, type FloatArray } from "./files/tensor-file.ts";
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
}

export async function readBatch(host: Host, path: string, model: Model, { distillation, labelSmoothing }: LossArgs): Promise<Batch> {
  if (distillation !== "none" && !model.distilled)
    throw new UsageError(`expected a model with a distillation token for --distillation ${distillation}, got ${model.name}`);
  const file = await readTensors(host, path);
  const distils = distillation !== "none";
  checkNames(file, distils ? ["x", "teacher_logits"] : ["x"], ["labels", "target", ...(distils ? [] : ["teacher_logits"])], path);
  if (file.has("labels") === file.has("target"))
    throw new UsageError(`expected either labels or target in ${path}, got ${file.has("labels") ? "both" : "neither"}`);
  if (file.has("target") && labelSmoothing !== 0)
    throw new UsageError(`expected labels for --label-smoothing ${labelSmoothing}, got a target, which carries its own`);
  const x = floatsOf(file, "x");
  const B = x.shape[0] ?? 0,
    K = model.numClasses;
  if (x.shape.length !== 4 || String(x.shape.slice(1)) !== String(model.imageShape))
    throw new UsageError(`expected x [B,${model.imageShape}] for ${model.name}, got [${x.shape}]`);
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
  };
}

export function disposeBatch({ x, labels, target, teacherLogits }: Batch): void {
  for (const t of [x, labels, target, teacherLogits]) t?.dispose();
}

/** Forward, loss, and backward into `store.grads`. Returns the loss. */
export function lossAndGradients(model: Model, store: ParameterStore, { x, labels, target, teacherLogits }: Batch, args: LossArgs): Tensor {
  const { logitsCls, logitsDist } = model.forward(store.tensors, x, { training: true });
  const { loss } = distillationLoss({
    logits: logitsCls,
    logitsDist,
    teacherLogits,
    ...(labels ? { labels } : { target: target! }),
    labelSmoothing: args.labelSmoothing,
    kind: args.distillation,
    alpha: args.alpha,
    tau: args.tau,
    reduction: args.reduction,
  });
  const targets = store.gradTargets;
  gradients(loss, store.trained).forEach((grad, i) => place(grad, targets[i]!));
  return loss;
}

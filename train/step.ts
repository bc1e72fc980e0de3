/** One training step as recorded plans: bytes in, parameters updated, numbers out. */
import { gradients } from "../engine/autograd.ts";
import { record, type Plan, type RecordOptions } from "../engine/plan.ts";
import { place } from "../kernels/shared/place.ts";
import { Scalars } from "../kernels/shared/scalars.ts";
import { Tensor } from "../engine/tensor.ts";
import { accumulate } from "../kernels/optim/accumulate.ts";
import { countCorrect } from "../kernels/rows/argmax.ts";
import { mixImages, mixLabels } from "../kernels/augment/mix-batch.ts";
import type { Flat } from "../models/flat.ts";
import type { Model } from "../models/model.ts";
import type { Params, ParameterStore } from "../models/params.ts";
import { objective } from "./objective.ts";
import { optimizerScalars, type Optimizer } from "./optimizer.ts";
import { mixes, mixGroupSize, type Recipe } from "./recipe.ts";

/** Numbers that change from step to step. `keep` is 0 for the first of an update's batches, then 1. */
export const stepScalars = { ...optimizerScalars, keep: "f32", seed: "u32", step: "u32" } as const;

export interface TrainStep {
  /** u32 [B]. */
  readonly labels: Tensor;
  /** u32 [B,6], from `encodeMix`; `null` where nothing is mixed. */
  readonly mix: Tensor | null;
  /** [B,K], where the teacher's logits are cached. */
  readonly teacherLogits: Tensor | null;
  readonly scalars: Scalars<typeof stepScalars>;
  /** Gradients of one batch; also the update, unless several batches make one. */
  readonly batch: Plan<BatchResult & { readonly norm: Tensor | null }>;
  /** The update alone, after the last of several batches. */
  readonly update: Plan<Tensor> | null;
  /** []: the optimizer's; `null` in f32. */
  readonly lossScale: Tensor | null;
  /** What the plans were recorded from. */
  readonly draft: StepDraft;
  readonly dispose: () => void;
}

export interface BatchResult {
  /** [] each: the whole loss, the label term, the teacher term (`null` without distillation). */
  readonly loss: Tensor;
  readonly base: Tensor;
  readonly distill: Tensor | null;
  /** u32 [1]: number of images whose unmixed label is the student's first class. */
  readonly correct: Tensor;
}

export interface StepOptions {
  readonly model: Model;
  readonly store: ParameterStore;
  readonly optimizer: Optimizer;
  readonly recipe: Recipe;
  /** The launches that make (B, C, H, W), normalised, of what was written for this batch; or, where `patch` p is given, its patches (B, P, C p p). */
  readonly input: (patch?: number) => Tensor;
  readonly teacher: { readonly model: Model; readonly params: Params } | null;
  readonly onCompile?: RecordOptions["onCompile"];
}

/** A step that is not recorded yet: its own tensors, and the launches of its plans. */
export interface StepDraft extends Pick<TrainStep, "labels" | "mix" | "teacherLogits" | "scalars" | "dispose"> {
  readonly batch: () => BatchResult & { readonly norm: Tensor | null };
  readonly update: (() => Tensor) | null;
  /** The gradients of several batches added up; `null` where one makes the update. */
  readonly sum: Flat | null;
}

/** Records the step: input, mixing, teacher, student, loss, gradients, update. */
export async function recordStep({ onCompile, ...o }: StepOptions): Promise<TrainStep> {
  const draft = draftStep(o);
  const { labels, mix, teacherLogits, scalars } = draft;
  const plans: Plan<unknown>[] = [];
  const recorded = async <T>(launches: () => T, label: string): Promise<Plan<T>> => {
    const plan = await record(launches, { label, ...(onCompile ? { onCompile } : {}) });
    plans.push(plan);
    return plan;
  };
  const dispose = () => {
    for (const plan of plans) plan.dispose();
    draft.dispose();
  };
  try {
    const batch = await recorded(draft.batch, "training step");
    const update = draft.update && (await recorded(draft.update, "update"));
    return { labels, mix, teacherLogits, scalars, batch, update, draft, lossScale: o.optimizer.lossScale?.scale ?? null, dispose };
  } catch (error) {
    dispose();
    throw error;
  }
}

/** The step's tensors and launches. */
export function draftStep({ model, store, optimizer, recipe, input, teacher }: StepOptions): StepDraft {
  const B = recipe.batchSize / recipe.accumulate;
  const labels = Tensor.zeros([B], "u32");
  const mix = mixes(recipe) ? Tensor.zeros([B, 6], "u32") : null;
  const distills = recipe.distillation !== "none";
  const cached = distills && recipe.cacheTeacher ? Tensor.zeros([B, model.numClasses]) : null;
  const scalars = new Scalars(stepScalars);
  const sum = recipe.accumulate > 1 ? store.layout.zeros() : null;
  const one = optimizer.lossScale ? null : Tensor.from([1], []);
  const dispose = () => {
    for (const t of [labels, mix, cached, one, ...(sum ?? []), scalars.tensor]) t?.dispose();
  };

  const batch = () => {
    // The input is made directly as patches, unless student or teacher takes whole images.
    const patch = distills && !cached && teacher!.model.patch !== model.patch ? undefined : (model.patch ?? undefined);
    const read = input(patch);
    const x = mix ? mixImages(read, mix, { groupSize: mixGroupSize(recipe), patch: read.shape.length === 3 ? patch : undefined }) : read;
    const truth = mix
      ? mixLabels(labels, mix, { classes: model.numClasses, smoothing: recipe.labelSmoothing, groupSize: mixGroupSize(recipe) })
      : labels;
    const draws = { seed: scalars.at("seed"), step: scalars.at("step") };
    const { loss, base, distill, out } = objective(x, truth, {
      ...{ model, params: store.tensors, teacher, teacherLogits: cached, recipe },
      options: {
        training: recipe.trainMode,
        ...(recipe.dropPath > 0 ? { dropPath: { rate: recipe.dropPath, uniform: recipe.dropPathUniform, ...draws } } : {}),
        ...(recipe.dropout > 0 ? { dropout: { rate: recipe.dropout, ...draws } } : {}),
      },
    });
    const targets = store.gradTargets;
    gradients(loss, store.trained, optimizer.lossScale?.scale ?? one!).forEach((grad, i) => place(grad, targets[i]!));
    const share = 1 / recipe.accumulate;
    if (sum) store.grads.forEach((g, i) => accumulate({ sum: sum[i]!, g }, { keep: scalars.at("keep"), share }));
    return { loss, base, distill, norm: sum ? null : optimizer.step(scalars), correct: countCorrect(out.logits.detach(), labels) };
  };
  return { labels, mix, teacherLogits: cached, scalars, sum, batch, update: sum && (() => optimizer.step(scalars, sum)), dispose };
}

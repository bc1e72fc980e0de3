/** One training step as a recorded plan: bytes in, parameters updated, numbers out. */
import { gradients, noGrad } from "../engine/autograd.ts";
import { place, record, type Plan, type RecordOptions } from "../engine/plan.ts";
import { Scalars } from "../engine/scalars.ts";
import { Tensor } from "../engine/tensor.ts";
import { countCorrect } from "../kernels/argmax.ts";
import { cutmix, mixTargets, mixup } from "../kernels/mix.ts";
import { normalizeImages } from "../kernels/normalize.ts";
import type { Model } from "../models/model.ts";
import type { Params, ParameterStore } from "../models/params.ts";
import { distillationLoss } from "./loss.ts";
import { optimizerScalars, type Optimizer } from "./optimizer.ts";
import type { Recipe } from "./recipe.ts";

/** What changes from step to step, besides the images. */
export const stepScalars = { ...optimizerScalars, lam: "f32", imageLam: "f32", y0: "u32", y1: "u32", x0: "u32", x1: "u32", seed: "u32", step: "u32" } as const;

export interface Normalization {
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

export interface TrainStep {
  /** u8 [B,C,H,W], to be written before each run. */
  readonly images: Tensor;
  /** u32 [B]. */
  readonly labels: Tensor;
  readonly scalars: Scalars<typeof stepScalars>;
  readonly plan: Plan<{
    /** [] each: the whole loss, the label term, the teacher term (0 without distillation). */
    readonly loss: Tensor;
    readonly base: Tensor;
    readonly distill: Tensor | null;
    /** [2]: gradient norm; 1 if all gradients were finite, else 0 and the update was skipped. */
    readonly norm: Tensor;
    /** u32 [1]: how many images the student's mean of heads had right (of the unmixed label). */
    readonly correct: Tensor;
  }>;
}

export interface StepOptions {
  readonly model: Model;
  readonly store: ParameterStore;
  readonly optimizer: Optimizer;
  readonly recipe: Recipe;
  readonly normalization: Normalization;
  readonly teacher: { readonly model: Model; readonly params: Params } | null;
  readonly onCompile?: RecordOptions["onCompile"];
}

/** Records the step: normalise, mix, teacher, student, loss, gradients, update. */
export async function recordStep({ model, store, optimizer, recipe, normalization, teacher, onCompile }: StepOptions): Promise<TrainStep> {
  const B = recipe.batchSize;
  const images = Tensor.zeros([B, ...model.imageShape], "u8");
  const labels = Tensor.zeros([B], "u32");
  const scalars = new Scalars(stepScalars);
  const mixes = recipe.mixProb > 0 && (recipe.mixup > 0 || recipe.cutmix > 0);

  const plan = await record(() => {
    let x = normalizeImages(images, normalization);
    if (mixes && recipe.mixup > 0) x = mixup(x, { lam: scalars.at("imageLam") });
    if (mixes && recipe.cutmix > 0) x = cutmix(x, { box: scalars.at("y0") });

    // The teacher sees the batch that the student sees, mixed as it is.
    const teacherLogits = teacher && recipe.distillation !== "none" ? noGrad(() => teacher.model.forward(teacher.params, x).logits) : null;
    const dropPath = { rate: recipe.dropPath, seed: scalars.at("seed"), step: scalars.at("step") };
    const out = model.forward(store.tensors, x, { training: true, ...(recipe.dropPath > 0 ? { dropPath } : {}) });

    const { loss, base, distill } = distillationLoss({
      logits: out.logitsCls,
      logitsDist: out.logitsDist,
      // Mixed labels carry the smoothing; unmixed ones get it in the loss.
      ...(mixes
        ? { target: mixTargets(labels, { classes: model.numClasses, lam: scalars.at("lam"), smoothing: recipe.labelSmoothing }) }
        : { labels, labelSmoothing: recipe.labelSmoothing }),
      teacherLogits,
      kind: recipe.distillation, alpha: recipe.alpha, tau: recipe.tau, reduction: recipe.reduction,
    });
    const targets = store.gradTargets;
    gradients(loss, store.trained).forEach((grad, i) => place(grad, targets[i]!));
    const norm = optimizer.step(scalars);
    return { loss, base, distill, norm, correct: countCorrect(out.logits.detach(), labels) };
  }, { label: "training step", ...(onCompile ? { onCompile } : {}) });
  return { images, labels, scalars, plan };
}

export function disposeStep(step: TrainStep): void {
  step.plan.dispose();
  for (const t of [step.images, step.labels, step.scalars.tensor]) t.dispose();
}

/** The loss of a training step, as its recipe has it. */
import { noGrad } from "../engine/autograd.ts";
import type { Tensor } from "../engine/tensor.ts";
import { binaryCrossEntropy } from "../kernels/binary-cross-entropy.ts";
import { crossEntropy } from "../kernels/cross-entropy.ts";
import { add, scale } from "../kernels/elementwise.ts";
import type { DeitOutput } from "../models/deit.ts";
import type { ForwardOptions, Model } from "../models/model.ts";
import type { Params } from "../models/params.ts";
import { featureLoss, patchTap } from "./feature-distillation.ts";
import { distillationLoss, type Loss } from "./loss.ts";
import type { Recipe } from "./recipe.ts";

export interface Objective {
  readonly model: Model;
  readonly params: Params;
  readonly teacher: { readonly model: Model; readonly params: Params } | null;
  /** (B, K): the teacher's logits, where they are cached. */
  readonly teacherLogits: Tensor | null;
  readonly recipe: Recipe;
  /** Of the student's forward. */
  readonly options: ForwardOptions;
}

/** x: a batch as the model takes it; truth: mixed labels (B, K), or labels (B). The teacher gets the student's batch. */
export function objective(x: Tensor, truth: Tensor, o: Objective): Loss & { readonly out: DeitOutput } {
  const { model, params, teacher, recipe, options } = o;
  const { alpha, distillation: kind } = recipe;
  if (kind === "features") {
    const [theirs, ours] = [patchTap(teacher!.model), patchTap(model)];
    noGrad(() => teacher!.model.forward(teacher!.params, x, { tap: theirs.tap }));
    const out = model.forward(params, x, { ...options, tap: ours.tap });
    const base = labelTerm(out.logits, truth, recipe);
    const distill = featureLoss(params, ours.rows(), theirs.rows(), recipe.featureLoss);
    return { out, loss: add(scale(base, 1 - alpha), scale(distill, alpha)), base, distill };
  }
  const distils = kind !== "none";
  const teacherLogits = !distils ? null : (o.teacherLogits ?? noGrad(() => teacher!.model.forward(teacher!.params, x).logits));
  const out = model.forward(params, x, options);
  // Without a teacher both heads of a distilled model learn, by the mean of their logits, as timm trains it.
  const logits = distils ? out.logitsCls : out.logits;
  const { tau, reduction } = recipe;
  return {
    out,
    ...distillationLoss({
      ...{ logits, base: labelTerm(logits, truth, recipe), teacherLogits, kind, alpha, tau, reduction },
      logitsDist: recipe.singleToken ? out.logitsCls : out.logitsDist,
    }),
  };
}

/** Mixed labels carry the smoothing; others get it here. */
function labelTerm(logits: Tensor, truth: Tensor, { labelSmoothing, bceLoss, bceTargetThresh }: Recipe): Tensor {
  const smoothing = truth.dtype === "u32" ? { labelSmoothing } : {};
  return bceLoss ? binaryCrossEntropy(logits, truth, { ...smoothing, threshold: bceTargetThresh }) : crossEntropy(logits, truth, smoothing);
}

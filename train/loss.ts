/**
 * The training loss of DeiT: a label term, and with distillation a teacher's term on the distillation head.
 *
 *   loss = (1 - alpha) * base(logits, labels or target) + alpha * distill(logitsDist, teacherLogits)
 *
 * soft: KL divergence of probabilities softened by tau. hard: cross-entropy with the teacher's top class, without smoothing.
 * As in the paper, with the official code's constants: equations 2 and 3 of https://arxiv.org/abs/2012.12877
 */
import { show } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";
import { argmax } from "../kernels/rows/argmax.ts";
import { crossEntropy } from "../kernels/cross-entropy.ts";
import { add, scale } from "../kernels/elementwise.ts";
import { klDistillation, type Reduction } from "../kernels/kl-distillation.ts";

export interface LossInputs {
  /** (B, K), of the class head. */
  readonly logits: Tensor;
  /** (B, K), of the distillation head; to distill into a single head, `logits` again. */
  readonly logitsDist?: Tensor | null;
  /** (B, K) probabilities, used without label smoothing. Give these, `labels` or `base`. */
  readonly target?: Tensor;
  /** (B), u32 or i32. */
  readonly labels?: Tensor;
  /** (): a label term of its own, in place of cross-entropy. */
  readonly base?: Tensor;
  /** (B, K); no gradient flows to them. */
  readonly teacherLogits?: Tensor | null;
  readonly kind?: "none" | "soft" | "hard";
  /** The teacher term's weight; the label term has the rest. */
  readonly alpha?: number;
  /** Softens both sides of the soft term. */
  readonly tau?: number;
  /** Label smoothing in [0, 1]; applies to `labels` only. */
  readonly labelSmoothing?: number;
  readonly reduction?: Reduction;
}

export interface Loss {
  /** () each. */
  readonly loss: Tensor;
  readonly base: Tensor;
  /** The teacher term before its weight; `null` without distillation. */
  readonly distill: Tensor | null;
}

export function distillationLoss(inputs: LossInputs): Loss {
  const {
    logits,
    logitsDist = null,
    target,
    labels,
    teacherLogits = null,
    kind = "none",
    alpha = 0.5,
    tau = 1,
    labelSmoothing = 0,
    reduction = "numel",
  } = inputs;
  if (!inputs.base && !target === !labels)
    throw new Error(`distillationLoss: expected either target or labels, got ${target ? "both" : "neither"}`);
  if (kind !== "none" && kind !== "soft" && kind !== "hard")
    throw new Error(`distillationLoss: expected kind "none", "soft" or "hard", got "${kind as string}"`);
  if (!(alpha >= 0 && alpha <= 1)) throw new Error(`distillationLoss: expected alpha in [0, 1], got ${alpha}`);
  if (kind !== "none") {
    const need = (what: string, shape: string) => new Error(`distillationLoss: expected ${what} ${shape} for ${kind} distillation`);
    if (!logitsDist) throw new Error(`${need("logitsDist", show(logits.shape)).message}, got none: the student has no distillation head`);
    if (!teacherLogits) throw new Error(`${need("teacherLogits", show(logitsDist.shape)).message}, got none`);
    if (String(logitsDist.shape) !== String(logits.shape))
      throw new Error(`${need("logitsDist", show(logits.shape)).message}, got ${show(logitsDist.shape)}`);
    if (String(teacherLogits.shape) !== String(logitsDist.shape))
      throw new Error(`${need("teacherLogits", show(logitsDist.shape)).message}, got ${show(teacherLogits.shape)}`);
  }

  const base = inputs.base ?? (target ? crossEntropy(logits, target) : crossEntropy(logits, labels!, { labelSmoothing }));
  if (kind === "none") return { loss: base, base, distill: null };
  const distill =
    kind === "soft" ? klDistillation(logitsDist!, teacherLogits!, { tau, reduction }) : crossEntropy(logitsDist!, argmax(teacherLogits!));
  return { loss: add(scale(base, 1 - alpha), scale(distill, alpha)), base, distill };
}

/** Every hyperparameter of a training run, with its source. Defaults are the paper's (table 9) and the official code's. */
import { z } from "zod";

const fraction = z.number().min(0).max(1);
const positive = z.number().positive();

export const recipeSchema = z.strictObject({
  epochs: z.number().int().positive().default(300),
  batchSize: z.number().int().positive().default(1024),
  optimizer: z.enum(["adamw", "sgd"]).default("adamw"),
  /** Peak learning rate for a batch of 512; multiplied by batchSize / 512 if `scaleLr`. */
  lr: positive.default(5e-4),
  scaleLr: z.boolean().default(true),
  /** "official": the released loop's, an epoch late; "fixed": without that; "step": per step instead of per epoch. */
  schedule: z.enum(["official", "fixed", "step"]).default("official"),
  warmupEpochs: z.number().min(0).default(5),
  warmupLr: z.number().min(0).default(1e-6), // not scaled by the batch
  minLr: z.number().min(0).default(1e-5), // not scaled by the batch
  weightDecay: z.number().min(0).default(0.05),
  beta1: fraction.default(0.9),
  beta2: fraction.default(0.999),
  eps: positive.default(1e-8),
  /** SGD's. */
  momentum: fraction.default(0.9),
  /** Largest norm of all gradients together; `null`: no clipping. */
  clipGrad: positive.nullable().default(null),
  labelSmoothing: fraction.default(0.1),
  /** Stochastic depth: the last block's rate. */
  dropPath: fraction.default(0.1),
  /** Alpha of mixup's Beta distribution (a "probability" only in the paper's table); 0: off. */
  mixup: z.number().min(0).default(0.8),
  /** Alpha of CutMix's Beta distribution; 0: off. */
  cutmix: z.number().min(0).default(1),
  /** Share of batches that are mixed at all, and of those that get CutMix where both are on. */
  mixProb: fraction.default(1),
  mixSwitchProb: fraction.default(0.5),
  /** Random crop with this padding and a random flip, for small images. `null`: neither. */
  cropPadding: z.number().int().min(0).nullable().default(4),
  /** Decay of the parameters' moving average; `null`: none is kept. */
  emaDecay: fraction.nullable().default(0.99996),
  distillation: z.enum(["none", "soft", "hard"]).default("none"),
  /** Weight of the distillation term: 0.5 for hard; the paper's soft runs have 0.1 with tau 3. */
  alpha: fraction.default(0.5),
  tau: positive.default(1),
  /** Divisor of the soft term: "numel" (B*K) is the official code's, "batchmean" (B) the textbook's. */
  reduction: z.enum(["numel", "batchmean"]).default("numel"),
});

export type Recipe = z.infer<typeof recipeSchema>;

/** A full recipe from some settings. Unknown names and values out of range are refused by name. */
export function makeRecipe(settings: Readonly<Record<string, unknown>> = {}): Recipe {
  const parsed = recipeSchema.safeParse(settings);
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  throw new Error(`recipe: ${path.join(".") || "settings"}: ${message}`);
}

/** Throws where settings contradict the student or the teacher. */
export function checkRecipe(recipe: Recipe, student: { distilled: boolean; numClasses: number }, teacher: { numClasses: number } | null): void {
  if (recipe.distillation !== "none") {
    if (!teacher) throw new Error(`recipe: expected a teacher for distillation "${recipe.distillation}", got none`);
    if (!student.distilled) throw new Error(`recipe: expected a student with a distillation token for distillation "${recipe.distillation}", got a plain one`);
    if (teacher.numClasses !== student.numClasses) throw new Error(`recipe: expected a teacher of ${student.numClasses} classes, got ${teacher.numClasses}`);
  }
  if (recipe.warmupEpochs >= recipe.epochs && recipe.warmupEpochs > 0) throw new Error(`recipe: expected fewer than ${recipe.epochs} warmupEpochs, got ${recipe.warmupEpochs}`);
}

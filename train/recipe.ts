/** Every hyperparameter of a training run, with its source. Defaults are the paper's (table 9) and the official code's. */
import { z } from "zod";

const fraction = z.number().min(0).max(1);
const positive = z.number().positive();
const range = (least: number, most: number) => z.tuple([z.number().positive().min(least), z.number().max(most)]).refine(([a, b]) => a <= b, "expected the smaller number first");

export const recipeSchema = z.strictObject({
  epochs: z.number().int().positive().default(300),
  /** Images per update. */
  batchSize: z.number().int().positive().default(1024),
  /** Batches that one update's gradients come from, each of batchSize / accumulate images. */
  accumulate: z.number().int().positive().default(1),
  optimizer: z.enum(["adamw", "sgd", "lamb"]).default("adamw"),
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
  /** Share of elements dropped after the position embedding and in each branch. */
  dropout: z.number().min(0).lt(1).default(0),
  /** False trains the model as it is evaluated: no dropped paths or elements, running statistics. */
  trainMode: z.boolean().default(true),
  /** Which parameters are trained: "head" the classifiers alone, "attention" also attention and position embedding. */
  trainOnly: z.enum(["all", "head", "attention"]).default("all"),
  /** Decay of the model's moving average; `null`: none is kept. */
  emaDecay: fraction.nullable().default(0.99996),

  /** How an image becomes one of the model's size. "auto": "padded" up to 32 pixels, else "resized". */
  crop: z.enum(["auto", "resized", "padded", "simple", "none"]).default("auto"),
  /** Share of the image's area, and ratio of width to height, that a resized crop takes. */
  cropScale: range(0, 1).default([0.08, 1]),
  cropRatio: range(0, Infinity).default([3 / 4, 4 / 3]),
  /** Black pixels around the image that a padded crop may reach into. */
  cropPadding: z.number().int().min(0).default(4),
  hflip: fraction.default(0.5),
  /** timm's name of a policy: "rand-m9-mstd0.5-inc1" and the like, "original", "v0", "3a"; `null`: none. */
  autoAugment: z.string().nullable().default("rand-m9-mstd0.5-inc1"),
  /** Strength of brightness, contrast and saturation jitter, where no policy (or "3a") is set. */
  colorJitter: z.number().min(0).default(0.3),
  /** Random erasing: share of images, what they are filled with, and how many boxes. */
  erasing: fraction.default(0.25),
  erasingMode: z.enum(["pixel", "rand", "const"]).default("pixel"),
  erasingCount: z.number().int().positive().default(1),
  /** Repeated augmentation: how often an image comes in an epoch, which then sees a share of the images; 1: off. */
  repeats: z.number().int().positive().default(3),
  /** Shards of a batch that an image's copies are spread over, where the official code has GPUs. */
  shards: z.number().int().positive().default(4),
  /** Alpha of mixup's Beta distribution (a "probability" only in the paper's table); 0: off. */
  mixup: z.number().min(0).default(0.8),
  /** Alpha of CutMix's Beta distribution; 0: off. */
  cutmix: z.number().min(0).default(1),
  /** Share of batches that are mixed at all, and of those that get CutMix where both are on. */
  mixProb: fraction.default(1),
  mixSwitchProb: fraction.default(0.5),
  /** One draw for the batch, for each pair of images, or for each image. */
  mixMode: z.enum(["batch", "pair", "elem"]).default("batch"),

  /** How activations and matrices are stored; parameters, their gradients and all sums stay f32. */
  dtype: z.enum(["f32", "f16"]).default("f32"),
  /** The same of the teacher. */
  teacherDtype: z.enum(["f32", "f16"]).default("f32"),
  /** With f16: what the loss is multiplied by at first (a power of two), and how many finite updates in a row double it. */
  lossScale: positive.refine((v) => Number.isInteger(Math.log2(v)) && v <= 2 ** 24, "expected a power of two up to 16777216").default(65536),
  lossScaleGrowth: z.number().int().positive().default(2000),

  distillation: z.enum(["none", "soft", "hard"]).default("none"),
  /** Weight of the distillation term: 0.5 for hard; the paper's soft runs have 0.1 with tau 3. */
  alpha: fraction.default(0.5),
  tau: positive.default(1),
  /** Divisor of the soft term: "numel" (B*K) is the official code's, "batchmean" (B) the textbook's. */
  reduction: z.enum(["numel", "batchmean"]).default("numel"),
  /** Both terms on the class token, as in usual distillation, for a student without a distillation token. */
  singleToken: z.boolean().default(false),
  /** The teacher answers once, for the images as they are, instead of at each step for the images as they were augmented. */
  cacheTeacher: z.boolean().default(false),
});

export type Recipe = z.infer<typeof recipeSchema>;

/** A full recipe from some settings. Unknown names and values out of range are refused by name. */
export function makeRecipe(settings: Readonly<Record<string, unknown>> = {}): Recipe {
  const parsed = recipeSchema.safeParse(settings);
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  throw new Error(`recipe: ${path.join(".") || "settings"}: ${message}`);
}

/** What `checkRecipe` asks of a student. */
export interface StudentFacts {
  readonly distilled: boolean;
  readonly numClasses: number;
  /** Has attention, which dropout and attention-only training are about. */
  readonly transformer: boolean;
}

/** Throws where settings contradict each other, the student or the teacher. */
export function checkRecipe(recipe: Recipe, student: StudentFacts, teacher: { numClasses: number } | null): void {
  const refuse = (expected: string, got: string): never => {
    throw new Error(`recipe: expected ${expected}, got ${got}`);
  };
  const { distillation, singleToken, batchSize, accumulate, epochs, warmupEpochs } = recipe;
  if (distillation !== "none") {
    if (!teacher) return refuse(`a teacher for distillation "${distillation}"`, "none");
    if (!student.distilled && !singleToken) refuse(`a student with a distillation token for distillation "${distillation}" (or singleToken)`, "a plain one");
    if (student.distilled && singleToken) refuse("a student without a distillation token for singleToken", "one with it");
    if (teacher.numClasses !== student.numClasses) refuse(`a teacher of ${student.numClasses} classes`, String(teacher.numClasses));
  } else {
    if (teacher) refuse('distillation "soft" or "hard" with a teacher', '"none"');
    if (singleToken || recipe.cacheTeacher) refuse(`a distillation for ${singleToken ? "singleToken" : "cacheTeacher"}`, '"none"');
  }
  if (!student.transformer && (recipe.dropout > 0 || recipe.trainOnly === "attention")) refuse(`a transformer for ${recipe.dropout > 0 ? `dropout ${recipe.dropout}` : 'trainOnly "attention"'}`, "a convolutional network");
  if (batchSize % accumulate !== 0) refuse(`a batch that ${accumulate} equal batches make up`, `${batchSize} images`);
  if (mixes(recipe) && (batchSize / accumulate) % 2 !== 0) refuse("an even batch to mix", `${batchSize / accumulate} images`);
  if (recipe.repeats > 1 && batchSize % recipe.shards !== 0) refuse(`a batch that ${recipe.shards} shards divide for ${recipe.repeats} repeats`, `${batchSize} images`);
  if (warmupEpochs >= epochs && warmupEpochs > 0) refuse(`fewer than ${epochs} warmupEpochs`, String(warmupEpochs));
}

/** Whether any batch is mixed. */
export const mixes = ({ mixProb, mixup, cutmix }: Pick<Recipe, "mixProb" | "mixup" | "cutmix">): boolean => mixProb > 0 && (mixup > 0 || cutmix > 0);

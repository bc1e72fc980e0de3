/** Every hyperparameter of a training run, with its source. Defaults are the paper's (table 9) and the official code's. */
import { en } from "zod/locales";
import * as z from "zod/mini";

z.config(en());

const fraction = z.number().check(z.minimum(0), z.maximum(1));
const positive = z.number().check(z.positive());
const range = (least: number, most: number) =>
  z
    .tuple([z.number().check(z.positive(), z.minimum(least)), z.number().check(z.maximum(most))])
    .check(z.refine(([a, b]) => a <= b, "expected the smaller number first"));

export const recipeSchema = z.strictObject({
  epochs: z._default(z.int().check(z.positive()), 300),
  /** Images per update. */
  batchSize: z._default(z.int().check(z.positive()), 1024),
  /** Batches that one update's gradients come from, each of batchSize / accumulate images. */
  accumulate: z._default(z.int().check(z.positive()), 1),
  optimizer: z._default(z.enum(["adamw", "sgd", "lamb"]), "adamw"),
  /** Peak learning rate for a batch of 512; multiplied by batchSize / 512 if `scaleLr`. */
  lr: z._default(positive, 5e-4),
  scaleLr: z._default(z.boolean(), true),
  /** "official": the released loop's, an epoch late; "fixed": without that; "step": per step instead of per epoch. */
  schedule: z._default(z.enum(["official", "fixed", "step"]), "official"),
  warmupEpochs: z._default(z.number().check(z.minimum(0)), 5),
  warmupLr: z._default(z.number().check(z.minimum(0)), 1e-6), // not scaled by the batch
  minLr: z._default(z.number().check(z.minimum(0)), 1e-5), // not scaled by the batch
  weightDecay: z._default(z.number().check(z.minimum(0)), 0.05),
  beta1: z._default(fraction, 0.9),
  beta2: z._default(fraction, 0.999),
  eps: z._default(positive, 1e-8),
  /** SGD's. */
  momentum: z._default(fraction, 0.9),
  /** Largest norm of all gradients together; `null`: no clipping. */
  clipGrad: z._default(z.nullable(positive), null),
  labelSmoothing: z._default(fraction, 0.1),
  /** Stochastic depth: the last block's rate. */
  dropPath: z._default(fraction, 0.1),
  /** Share of elements dropped after the position embedding and in each branch. */
  dropout: z._default(z.number().check(z.minimum(0), z.lt(1)), 0),
  /** False trains the model as it is evaluated: no dropped paths or elements, running statistics. */
  trainMode: z._default(z.boolean(), true),
  /** Which parameters are trained: "head" the classifiers alone, "attention" also attention and position embedding. */
  trainOnly: z._default(z.enum(["all", "head", "attention"]), "all"),
  /** Decay of the model's moving average; `null`: none is kept. */
  emaDecay: z._default(z.nullable(fraction), 0.99996),

  /** How an image becomes one of the model's size. "auto": "padded" up to 32 pixels, else "resized". */
  crop: z._default(z.enum(["auto", "resized", "padded", "simple", "none"]), "auto"),
  /** Share of the image's area, and ratio of width to height, that a resized crop takes. */
  cropScale: z._default(range(0, 1), [0.08, 1]),
  cropRatio: z._default(range(0, Infinity), [3 / 4, 4 / 3]),
  /** Black pixels around the image that a padded crop may reach into. */
  cropPadding: z._default(z.int().check(z.minimum(0)), 4),
  hflip: z._default(fraction, 0.5),
  /** timm's name of a policy: "rand-m9-mstd0.5-inc1" and the like, "original", "v0", "3a"; `null`: none. */
  autoAugment: z._default(z.nullable(z.string()), "rand-m9-mstd0.5-inc1"),
  /** Strength of brightness, contrast and saturation jitter, where no policy (or "3a") is set. */
  colorJitter: z._default(z.number().check(z.minimum(0)), 0.3),
  /** Random erasing: share of images, what they are filled with, and how many boxes. */
  erasing: z._default(fraction, 0.25),
  erasingMode: z._default(z.enum(["pixel", "rand", "const"]), "pixel"),
  erasingCount: z._default(z.int().check(z.positive()), 1),
  /** Repeated augmentation: how often an image comes in an epoch, which then sees a share of the images; 1: off. */
  repeats: z._default(z.int().check(z.positive()), 3),
  /** Shards of a batch that an image's copies are spread over, each mixed on its own, where the official code has GPUs. */
  shards: z._default(z.int().check(z.positive()), 4),
  /** Alpha of mixup's Beta distribution (a "probability" only in the paper's table); 0: off. */
  mixup: z._default(z.number().check(z.minimum(0)), 0.8),
  /** Alpha of CutMix's Beta distribution; 0: off. */
  cutmix: z._default(z.number().check(z.minimum(0)), 1),
  /** Share of batches that are mixed at all, and of those that get CutMix where both are on. */
  mixProb: z._default(fraction, 1),
  mixSwitchProb: z._default(fraction, 0.5),
  /** One draw for the batch, for each pair of images, or for each image. */
  mixMode: z._default(z.enum(["batch", "pair", "elem"]), "batch"),

  /** How activations and matrices are stored; parameters, their gradients and all sums stay f32. */
  dtype: z._default(z.enum(["f32", "f16"]), "f32"),
  /** The same of the teacher. */
  teacherDtype: z._default(z.enum(["f32", "f16"]), "f32"),
  /** With f16: what the loss is multiplied by at first (a power of two), and how many finite updates in a row double it. */
  lossScale: z._default(
    positive.check(z.refine((v) => Number.isInteger(Math.log2(v)) && v <= 2 ** 24, "expected a power of two up to 16777216")),
    65536,
  ),
  lossScaleGrowth: z._default(z.int().check(z.positive()), 2000),

  distillation: z._default(z.enum(["none", "soft", "hard"]), "none"),
  /** Weight of the distillation term: 0.5 for hard; the paper's soft runs have 0.1 with tau 3. */
  alpha: z._default(fraction, 0.5),
  tau: z._default(positive, 1),
  /** Divisor of the soft term: "numel" (B*K) is the official code's, "batchmean" (B) the textbook's. */
  reduction: z._default(z.enum(["numel", "batchmean"]), "numel"),
  /** Both terms on the class token, as in usual distillation, for a student without a distillation token. */
  singleToken: z._default(z.boolean(), false),
  /** The teacher answers once, for the images as they are, instead of at each step for the images as they were augmented. */
  cacheTeacher: z._default(z.boolean(), false),
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
    if (!student.distilled && !singleToken)
      refuse(`a student with a distillation token for distillation "${distillation}" (or singleToken)`, "a plain one");
    if (student.distilled && singleToken) refuse("a student without a distillation token for singleToken", "one with it");
    if (teacher.numClasses !== student.numClasses) refuse(`a teacher of ${student.numClasses} classes`, String(teacher.numClasses));
  } else {
    if (teacher) refuse('distillation "soft" or "hard" with a teacher', '"none"');
    if (singleToken || recipe.cacheTeacher) refuse(`a distillation for ${singleToken ? "singleToken" : "cacheTeacher"}`, '"none"');
  }
  if (!student.transformer && (recipe.dropout > 0 || recipe.trainOnly === "attention"))
    refuse(`a transformer for ${recipe.dropout > 0 ? `dropout ${recipe.dropout}` : 'trainOnly "attention"'}`, "a convolutional network");
  if (batchSize % accumulate !== 0) refuse(`a batch that ${accumulate} equal batches make up`, `${batchSize} images`);
  if (recipe.repeats > 1 && batchSize % recipe.shards !== 0)
    refuse(`a batch that ${recipe.shards} shards divide for ${recipe.repeats} repeats`, `${batchSize} images`);
  const together = batchSize / accumulate;
  if (mixes(recipe) && together % 2 !== 0) refuse("an even batch to mix", `${together} images${accumulate > 1 ? ` at a time` : ""}`);
  if (warmupEpochs >= epochs && warmupEpochs > 0) refuse(`fewer than ${epochs} warmupEpochs`, String(warmupEpochs));
}

/**
 * Images that are mixed among each other: of one shard where a batch has shards, and of what is computed at once. Where that is an odd
 * number, which has no pairs, all that is computed at once.
 */
export function mates({ batchSize, accumulate, repeats, shards }: Pick<Recipe, "batchSize" | "accumulate" | "repeats" | "shards">): number {
  const together = batchSize / accumulate;
  let [a, b] = [together, repeats > 1 ? batchSize / shards : batchSize];
  while (b > 0) [a, b] = [b, a % b]; // their greatest common divisor
  return a % 2 === 0 ? a : together;
}

/** Whether any batch is mixed. */
export const mixes = ({ mixProb, mixup, cutmix }: Pick<Recipe, "mixProb" | "mixup" | "cutmix">): boolean =>
  mixProb > 0 && (mixup > 0 || cutmix > 0);

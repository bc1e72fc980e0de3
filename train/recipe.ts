/** Every hyperparameter of a training run, with its source. Defaults are the paper's (table 9) and the official code's. */
import * as z from "zod/mini";
import { LORA_TARGETS, type LoraOptions } from "../models/lora.ts";
import { schemaFault } from "../models/schema-fault.ts";

const LORA_TARGETS_EXPECTED = `expected layers of ${Object.keys(LORA_TARGETS).join(", ")}, with commas`;

/** Kernels compute in f32: a number that is 0 or infinite there is refused. */
const single = z.number().check(z.refine((v) => Number.isFinite(Math.fround(v)), "expected a number of at most 3.4e38"));
const atLeast0 = single.check(z.minimum(0));
const positive = single.check(z.refine((v) => Math.fround(v) > 0, "expected a number above 0, of at least 1.5e-45"));
const count = z.int().check(z.positive());
const share = z.number().check(z.minimum(0), z.maximum(1));
/** Below 1: at 1 a moment and its bias correction would stay 0, and dropout would divide by 0. */
const below1 = z.number().check(
  z.minimum(0),
  z.refine((v) => Math.fround(v) < 1, "expected a number below 1"),
);
/** Parameter of a Beta distribution; a smaller one always gives 0 or 1. */
const alpha = atLeast0.check(z.refine((v) => v === 0 || Math.fround(v) > 0, "expected 0, or a number of at least 1.5e-45"));
const range = (least: number, most: number) =>
  z
    .tuple([z.number().check(z.positive(), z.minimum(least)), z.number().check(z.maximum(most))])
    .check(z.refine(([a, b]) => a <= b, "expected the smaller number first"));

/** A setting: its default, and its help text with unit and range. */
const item = <T extends z.ZodMiniType>(type: T, value: z.core.util.NoUndefined<z.core.output<T>>, text: string) =>
  z._default(type, value as never).check(z.describe(text));

export const recipeSchema = z.strictObject({
  epochs: item(count, 300, "passes over the training images, 1 or more"),
  batchSize: item(count, 1024, "images per update, 1 or more"),
  accumulate: item(count, 1, "batches whose gradients make one update, each of batch-size / accumulate images; must divide batch-size"),
  optimizer: item(z.enum(["adamw", "sgd", "lamb"]), "adamw", "update rule: adamw, sgd or lamb, as timm's of these names"),
  lr: item(positive, 5e-4, "peak learning rate, above 0; for a batch of 512 images where scale-lr is on"),
  scaleLr: item(z.boolean(), true, "multiply lr by batch-size / 512"),
  schedule: item(
    z.enum(["official", "fixed", "step"]),
    "official",
    "cosine learning rate: official (per epoch, an epoch late, as the released code), fixed (per epoch) or step (per update)",
  ),
  warmupEpochs: item(z.number().check(z.minimum(0)), 5, "epochs of linear warm-up, from 0 to below epochs"),
  warmupLr: item(atLeast0, 1e-6, "learning rate at the start of the warm-up, 0 or more, not scaled by the batch"),
  minLr: item(atLeast0, 1e-5, "learning rate at the end, 0 or more, not scaled by the batch"),
  weightDecay: item(atLeast0, 0.05, "decay of matrices towards 0 per update, times the learning rate, 0 or more"),
  beta1: item(below1, 0.9, "adamw, lamb: decay of the gradients' average, in [0, 1)"),
  beta2: item(below1, 0.999, "adamw, lamb: decay of the squared gradients' average, in [0, 1)"),
  // The official code's for every optimizer; timm's LAMB alone defaults to 1e-6.
  eps: item(positive, 1e-8, "adamw, lamb: added to the root of the squared gradients' average, above 0"),
  momentum: item(share, 0.9, "sgd: decay of the velocity, in [0, 1]"),
  nesterov: item(z.boolean(), true, "sgd: look ahead along the velocity, as timm's sgd does; false is timm's momentum"),
  maxGradNorm: item(
    z.nullable(positive),
    1,
    "lamb: largest norm of all gradients together, above 0, as timm's Lamb and apex's FusedLAMB limit it; null: no limit",
  ),
  clipGrad: item(
    z.nullable(positive),
    null,
    "largest norm of all gradients together, above 0; larger ones are scaled down; null: no limit",
  ),
  labelSmoothing: item(share, 0.1, "share of the label that is spread over all classes, in [0, 1]"),
  bceLoss: item(z.boolean(), false, "binary cross-entropy with the labels, each class a question of its own, in place of cross-entropy"),
  bceTargetThresh: item(
    z.nullable(share),
    null,
    "bce-loss: mixed or smoothed labels above it count as 1, the others as 0, in [0, 1]; null: they count as they are",
  ),
  dropPath: item(
    below1,
    0.1,
    "stochastic depth: chance to leave out the last block for an image, in [0, 1), linearly less in earlier blocks",
  ),
  dropPathUniform: item(z.boolean(), false, "the chance of drop-path for every block alike, as DeiT III's code has it"),
  layerScaleInit: item(
    z.nullable(single),
    null,
    "first value of LayerScale in a model that has it and begins without weights, any number; null: the model's own",
  ),
  dropout: item(below1, 0, "share of elements dropped after the position embedding and in each branch, in [0, 1)"),
  trainMode: item(z.boolean(), true, "train with dropped blocks and elements and batch statistics; false: as the model is evaluated"),
  trainOnly: item(
    z.enum(["all", "head", "attention", "lora"]),
    "all",
    "parameters that are trained: all, head (classifiers alone), attention (also attention and position embedding) or lora (classifiers, and low-rank additions to the blocks' matrices)",
  ),
  loraRank: item(count, 8, "lora: rank of the additions, 1 or more"),
  loraAlpha: item(z.nullable(positive), null, "lora: the additions count by alpha / rank, above 0; null: alpha is the rank"),
  loraTargets: item(
    z.string().check(z.refine((text) => text.split(",").every((target) => Object.hasOwn(LORA_TARGETS, target)), LORA_TARGETS_EXPECTED)),
    "qkv,proj",
    "lora: layers of each block that get additions, of qkv, proj, fc1 and fc2, with commas",
  ),
  frozenDtype: item(z.enum(["f32", "f16"]), "f32", "lora: storage of the frozen matrices, f32 or f16; the additions and all sums stay f32"),
  emaDecay: item(z.nullable(share), 0.99996, "decay per update of the weights' moving average, in [0, 1]; null: none is kept"),

  crop: item(
    z.enum(["auto", "resized", "padded", "simple", "none"]),
    "auto",
    "how an image comes to the model's size: resized, padded, simple or none; auto: padded up to 32 pixels, else resized",
  ),
  cropScale: item(range(0, 1), [0.08, 1], "resized crops: least and largest share of the image's area, in (0, 1]"),
  cropRatio: item(range(0, Infinity), [3 / 4, 4 / 3], "resized crops: least and largest ratio of width to height, above 0"),
  cropPadding: item(z.int().check(z.minimum(0)), 4, "padded crops: black pixels around the image that they may reach into, 0 or more"),
  hflip: item(share, 0.5, "share of images that are mirrored, in [0, 1]"),
  autoAugment: item(
    z.nullable(z.string()),
    "rand-m9-mstd0.5-inc1",
    "augmentation policy by timm's name: rand-m9-mstd0.5-inc1 and the like, original, v0, 3a; null: none",
  ),
  colorJitter: item(atLeast0, 0.3, "strength of brightness, contrast and saturation jitter, 0 or more, where no policy or 3a is set"),
  erasing: item(share, 0.25, "share of images with random erasing, in [0, 1]"),
  erasingMode: item(
    z.enum(["pixel", "rand", "const"]),
    "pixel",
    "what is erased becomes noise per pixel (pixel), one random colour (rand) or black (const)",
  ),
  erasingCount: item(count, 1, "boxes that are erased at most, 1 or more"),
  repeats: item(count, 3, "repeated augmentation: copies of an image in an epoch, which then sees a share of the images; 1: off"),
  shards: item(count, 4, "parts of a batch that an image's copies are spread over, each mixed on its own, as the official code's GPUs are"),
  mixup: item(alpha, 0.8, "mixup: alpha of Beta(alpha, alpha) (a probability only in the paper's table), 0 or more; 0: off"),
  cutmix: item(alpha, 1, "CutMix: alpha of Beta(alpha, alpha), 0 or more; 0: off"),
  mixProb: item(share, 1, "share of draws that mix at all, in [0, 1]"),
  mixSwitchProb: item(share, 0.5, "share of draws that get CutMix where mixup is on too, in [0, 1]"),
  mixMode: item(
    z.enum(["batch", "pair", "elem"]),
    "batch",
    "one draw for the batch, for each pair of images (pair) or for each image (elem)",
  ),

  dtype: item(
    z.enum(["f32", "f16"]),
    "f32",
    "storage of activations and matrices, f32 or f16; parameters, their gradients and all sums stay f32",
  ),
  teacherDtype: item(z.enum(["f32", "f16"]), "f32", "storage of the teacher's activations and matrices, f32 or f16"),
  lossScale: item(
    positive.check(z.refine((v) => Number.isInteger(Math.log2(v)) && v <= 2 ** 24, "expected a power of two up to 16777216")),
    65536,
    "f16: first factor of the loss, a power of two up to 16777216",
  ),
  lossScaleGrowth: item(count, 2000, "f16: finite updates in a row after which the factor of the loss doubles, 1 or more"),

  distillation: item(
    z.enum(["none", "soft", "hard", "features"]),
    "none",
    "learn from a teacher's probabilities (soft), its first class (hard), its patches' features (features), or without a teacher (none)",
  ),
  featureLoss: item(
    z.enum(["cosine", "smooth-l1"]),
    "cosine",
    "distillation by features: distance of the student's patches, after a learned linear map, from the teacher's: cosine or smooth-l1",
  ),
  alpha: item(share, 0.5, "weight of the teacher's term in the loss, in [0, 1]; the paper's soft runs have 0.1 with tau 3"),
  // Within these bounds neither logits / tau nor tau^2 leaves f32.
  tau: item(
    single.check(z.minimum(1e-6), z.maximum(1e6)),
    1,
    "soft distillation: temperature that divides both sides' logits, in [1e-6, 1e6]",
  ),
  reduction: item(
    z.enum(["numel", "batchmean"]),
    "numel",
    "soft distillation: divide by images and classes (numel, the official code's) or by images (batchmean, the textbook's)",
  ),
  singleToken: item(z.boolean(), false, "both terms on the class token, for a student without a distillation token"),
  cacheTeacher: item(z.boolean(), false, "compute the teacher's logits once, for images without augmentation, instead of at each update"),
});

export type Recipe = z.infer<typeof recipeSchema>;

/** A full recipe from some settings. Throws for unknown names and values out of range, naming each. */
export function makeRecipe(settings: Readonly<Record<string, unknown>> = {}): Recipe {
  const parsed = recipeSchema.safeParse(settings);
  if (parsed.success) return parsed.data;
  throw new Error(`recipe: ${schemaFault(parsed.error, settings, "settings")}`);
}

/** The settings of `trainOnly` "lora". */
export const loraOptions = ({ loraRank: rank, loraAlpha, loraTargets }: Recipe): LoraOptions => ({
  rank,
  alpha: loraAlpha ?? rank,
  targets: loraTargets.split(",") as (keyof typeof LORA_TARGETS)[],
});

/** The facts about a student that `checkRecipe` needs. */
export interface StudentFacts {
  readonly distilled: boolean;
  readonly numClasses: number;
  /** Whether it has attention, which dropout and attention-only training need. */
  readonly transformer: boolean;
}

/** Throws if settings contradict each other, the student or the teacher. */
export function checkRecipe(recipe: Recipe, student: StudentFacts, teacher: { numClasses: number } | null): void {
  const refuse = (expected: string, got: string): never => {
    throw new Error(`recipe: expected ${expected}, got ${got}`);
  };
  const { distillation, singleToken, batchSize, accumulate, epochs, warmupEpochs } = recipe;
  if (distillation === "features") {
    if (!teacher) return refuse('a teacher for distillation "features"', "none");
    if (singleToken || recipe.cacheTeacher)
      refuse(`distillation "soft" or "hard" for ${singleToken ? "singleToken" : "cacheTeacher"}`, '"features"');
  } else if (distillation !== "none") {
    if (!teacher) return refuse(`a teacher for distillation "${distillation}"`, "none");
    if (!student.distilled && !singleToken)
      refuse(`a student with a distillation token for distillation "${distillation}" (or singleToken)`, "a plain one");
    if (student.distilled && singleToken) refuse("a student without a distillation token for singleToken", "one with it");
    if (teacher.numClasses !== student.numClasses) refuse(`a teacher of ${student.numClasses} classes`, String(teacher.numClasses));
  } else {
    if (teacher) refuse('distillation "soft", "hard" or "features" with a teacher', '"none"');
    if (singleToken || recipe.cacheTeacher) refuse(`a distillation for ${singleToken ? "singleToken" : "cacheTeacher"}`, '"none"');
  }
  if (!student.transformer && (recipe.dropout > 0 || recipe.trainOnly === "attention" || recipe.trainOnly === "lora"))
    refuse(
      `a transformer for ${recipe.dropout > 0 ? `dropout ${recipe.dropout}` : `trainOnly "${recipe.trainOnly}"`}`,
      "a convolutional network",
    );
  if (recipe.frozenDtype !== "f32" && recipe.trainOnly !== "lora")
    refuse(`trainOnly "lora" for frozenDtype "${recipe.frozenDtype}"`, `"${recipe.trainOnly}"`);
  if (recipe.bceTargetThresh !== null && !recipe.bceLoss) refuse("bceLoss for bceTargetThresh", "false");
  if (batchSize % accumulate !== 0) refuse(`a batch that ${accumulate} equal batches make up`, `${batchSize} images`);
  if (recipe.repeats > 1 && batchSize % recipe.shards !== 0)
    refuse(`a batch that ${recipe.shards} shards divide for ${recipe.repeats} repeats`, `${batchSize} images`);
  const together = batchSize / accumulate;
  if (mixes(recipe) && together % 2 !== 0) refuse("an even batch to mix", `${together} images${accumulate > 1 ? ` at a time` : ""}`);
  if (warmupEpochs >= epochs && warmupEpochs > 0) refuse(`fewer than ${epochs} warmupEpochs`, String(warmupEpochs));
}

/**
 * Number of images that are mixed with each other: those of one shard in one batch. If that is odd, and so has no pairs, all images of the
 * batch.
 */
export function mixGroupSize({
  batchSize,
  accumulate,
  repeats,
  shards,
}: Pick<Recipe, "batchSize" | "accumulate" | "repeats" | "shards">): number {
  const together = batchSize / accumulate;
  let [a, b] = [together, repeats > 1 ? batchSize / shards : batchSize];
  while (b > 0) [a, b] = [b, a % b]; // their greatest common divisor
  return a % 2 === 0 ? a : together;
}

/** Whether any batch is mixed. */
export const mixes = ({ mixProb, mixup, cutmix }: Pick<Recipe, "mixProb" | "mixup" | "cutmix">): boolean =>
  mixProb > 0 && (mixup > 0 || cutmix > 0);

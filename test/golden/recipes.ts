/**
 * Recipes that are trained for ten updates here and by timm, and what was drawn for each: an epoch is one batch of all images.
 * `npx tsx test/golden/recipes.ts` writes recipes-in.json, from which recipes.py records recipes.json.
 */
import { writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { sampleMixes } from "../../train/augment/mixup.ts";
import { epochOrder } from "../../train/data/dataset.ts";
import { makeRecipe } from "../../train/recipe.ts";
import { hash } from "./fill.ts";

export const SEED = 7;
export const UPDATES = 10;
export const COUNT = 8;
export const SIDE = 16;
export const CLASSES = 4;
export const MODEL = { arch: "deit", imgSize: SIDE, patchSize: 8, dim: 12, depth: 2, heads: 3, numClasses: CLASSES } as const;
/** LayerScale, and positions of the patches alone. */
export const DEIT3 = { layerScale: 1e-4, posEmbedCls: false } as const;
export const NORMALIZATION = { mean: [0.5, 0.4, 0.3], std: [0.25, 0.3, 0.2] };

/** Bytes (COUNT, 3, SIDE, SIDE); image n has label n % CLASSES. */
export const imageBytes = (): Uint8Array => Uint8Array.from({ length: COUNT * 3 * SIDE * SIDE }, (_, i) => hash(i, 77) >>> 24);

/** What every recipe has: images as they are, and nothing else that is random. */
export const BASE = {
  epochs: UPDATES,
  batchSize: COUNT,
  scaleLr: false,
  warmupEpochs: 0,
  minLr: 1e-5,
  labelSmoothing: 0,
  dropPath: 0,
  emaDecay: null,
  crop: "none",
  hflip: 0,
  autoAugment: null,
  colorJitter: 0,
  erasing: 0,
  repeats: 1,
  mixup: 0,
  cutmix: 0,
};

export const RECIPES: readonly { readonly name: string; readonly distilled?: true; readonly deit3?: true; readonly recipe: Readonly<Record<string, unknown>> }[] = [
  { name: "adamw, official schedule with warm-up, smoothing", recipe: { lr: 3e-3, warmupEpochs: 3, labelSmoothing: 0.1 } },
  { name: "adamw, clipped, fixed schedule", recipe: { lr: 3e-3, schedule: "fixed", clipGrad: 0.2, weightDecay: 0.3 } },
  { name: "adamw, schedule by step, other betas", recipe: { lr: 3e-3, schedule: "step", warmupEpochs: 2, beta1: 0.8, beta2: 0.95 } },
  { name: "adamw, several batches to an update", recipe: { lr: 3e-3, schedule: "fixed", accumulate: 2 } },
  { name: "sgd", recipe: { optimizer: "sgd", lr: 0.02, schedule: "fixed", weightDecay: 0.01 } },
  { name: "sgd without nesterov", recipe: { optimizer: "sgd", nesterov: false, lr: 0.02, schedule: "fixed", weightDecay: 0.01 } },
  { name: "sgd, clipped", recipe: { optimizer: "sgd", lr: 0.05, schedule: "fixed", clipGrad: 0.3 } },
  { name: "lamb", recipe: { optimizer: "lamb", lr: 0.01, schedule: "fixed" } },
  { name: "lamb, any norm", recipe: { optimizer: "lamb", lr: 0.01, schedule: "fixed", maxGradNorm: null } },
  { name: "lamb, clipped below its own limit", recipe: { optimizer: "lamb", lr: 0.01, schedule: "fixed", clipGrad: 0.5, weightDecay: 0.3 } },
  { name: "adamw, mixup", recipe: { lr: 3e-3, schedule: "fixed", mixup: 0.8, labelSmoothing: 0.1 } },
  { name: "adamw, mixup and CutMix", recipe: { lr: 3e-3, schedule: "fixed", mixup: 0.8, cutmix: 1, mixProb: 0.8, labelSmoothing: 0.1 } },
  {
    name: "DeiT III: lamb, binary cross-entropy, mixed labels that count whole",
    deit3: true,
    recipe: { optimizer: "lamb", lr: 4e-3, mixup: 0.8, cutmix: 1, bceLoss: true, bceTargetThresh: 0, warmupEpochs: 2 },
  },
  { name: "lamb, binary cross-entropy of smoothed labels", recipe: { optimizer: "lamb", lr: 0.01, bceLoss: true, labelSmoothing: 0.1 } },
  { name: "a distilled model without a teacher", distilled: true, recipe: { lr: 3e-3, schedule: "fixed" } },
];

/** What Python reads: the recipes in full, the order of the images and what is mixed, update by update. */
export const recorderInput = () => ({
  recipes: RECIPES.map(({ name, distilled = false, deit3 = false, recipe }) => {
    const full = makeRecipe({ ...BASE, ...recipe });
    const updates = Array.from({ length: UPDATES }, (_, update) => ({
      order: [...epochOrder(COUNT, SEED, update)],
      mix: full.mixup + full.cutmix > 0 ? sampleMixes(full, SEED, update, COUNT, SIDE, SIDE)[0]! : null,
    }));
    return { name, distilled, deit3, recipe: full, updates };
  }),
  images: [...imageBytes()],
});

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href)
  writeFileSync(new URL("./recipes-in.json", import.meta.url), `${JSON.stringify(recorderInput())}\n`);

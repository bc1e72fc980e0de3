/** Recipes: what contradicts itself, the student or the teacher; the presets that ship. */
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import * as z from "zod/mini";
import { createModel } from "../../models/model.ts";
import { firstState } from "../../train/student.ts";
import { checkRecipe, makeRecipe, mixGroupSize, type Recipe, recipeSchema, type StudentFacts } from "../../train/recipe.ts";

const plain: StudentFacts = { distilled: false, numClasses: 10, transformer: true };
const distilled: StudentFacts = { ...plain, distilled: true };
const teacher = { numClasses: 10 };

describe("checkRecipe", () => {
  const check =
    (recipe: Record<string, unknown>, student = plain, from: { numClasses: number } | null = null) =>
    () =>
      checkRecipe(makeRecipe(recipe), student, from);

  test.each([
    [
      "a teacher for distillation",
      { distillation: "hard" },
      distilled,
      null,
      'recipe: expected a teacher for distillation "hard", got none',
    ],
    ["a token for it", { distillation: "soft" }, plain, teacher, "recipe: expected a student with a distillation token"],
    [
      "no token where there is to be one",
      { distillation: "soft", singleToken: true },
      distilled,
      teacher,
      "recipe: expected a student without a distillation token for singleToken, got one with it",
    ],
    ["the teacher's classes", { distillation: "hard" }, distilled, { numClasses: 7 }, "recipe: expected a teacher of 10 classes, got 7"],
    ["a use for the teacher", {}, plain, teacher, 'recipe: expected distillation "soft", "hard" or "features" with a teacher, got "none"'],
    ["a distillation for one token", { singleToken: true }, plain, null, 'recipe: expected a distillation for singleToken, got "none"'],
    ["and for kept answers", { cacheTeacher: true }, plain, null, 'recipe: expected a distillation for cacheTeacher, got "none"'],
    [
      "attention to train",
      { trainOnly: "attention" },
      { ...plain, transformer: false },
      null,
      'recipe: expected a transformer for trainOnly "attention", got a convolutional network',
    ],
    [
      "layers to drop from",
      { dropout: 0.1 },
      { ...plain, transformer: false },
      null,
      "recipe: expected a transformer for dropout 0.1, got a convolutional network",
    ],
    [
      "equal batches",
      { batchSize: 30, accumulate: 4 },
      plain,
      null,
      "recipe: expected a batch that 4 equal batches make up, got 30 images",
    ],
    ["an even batch", { batchSize: 15, repeats: 1 }, plain, null, "recipe: expected an even batch to mix, got 15 images"],
    [
      "an even part of a batch",
      { batchSize: 36, accumulate: 4 },
      plain,
      null,
      "recipe: expected an even batch to mix, got 9 images at a time",
    ],
    ["equal shards", { batchSize: 30 }, plain, null, "recipe: expected a batch that 4 shards divide for 3 repeats, got 30 images"],
    ["a loss that has a threshold", { bceTargetThresh: 0 }, plain, null, "recipe: expected bceLoss for bceTargetThresh, got false"],
    [
      "a teacher of features",
      { distillation: "features" },
      plain,
      null,
      'recipe: expected a teacher for distillation "features", got none',
    ],
    [
      "the class token's terms only of logits",
      { distillation: "features", singleToken: true },
      plain,
      teacher,
      'recipe: expected distillation "soft" or "hard" for singleToken, got "features"',
    ],
    ["time after the warm-up", { epochs: 5 }, plain, null, "recipe: expected fewer than 5 warmupEpochs, got 5"],
  ] as const)("wants %s", (_, recipe, student, from, message) => {
    expect(check(recipe, student, from)).toThrow(message);
  });

  test("takes what fits: the paper's, one token, odd batches that nothing mixes", () => {
    check({})();
    check({ distillation: "hard" }, distilled, teacher)();
    check({ distillation: "soft", singleToken: true, cacheTeacher: true }, plain, teacher)();
    check({ batchSize: 15, repeats: 1, mixup: 0, cutmix: 0 })();
    check({ batchSize: 15, repeats: 1, mixProb: 0 })();
    check({ batchSize: 20 })();
    check({ epochs: 5, warmupEpochs: 0 })();
  });
});

test.each([
  { beta1: 1 },
  { beta2: 1 },
  { beta2: 1 - 1e-9 },
  { dropPath: 1 },
  { dropout: 1 },
  { eps: 1e-60 },
  { lr: 1e39 },
  { tau: 1e-40 },
  { tau: 1e30 },
  { weightDecay: 1e200 },
  { clipGrad: 1e-50 },
  { mixup: 1e-200 },
  { cutmix: 1e300 },
])("refuses %o, which could only give NaN in f32", (settings) => {
  expect(() => makeRecipe(settings)).toThrow(new RegExp(`^recipe: ${Object.keys(settings)[0]}: `));
});

test.each<[Record<string, unknown>, string]>([
  [{ lr: "inf" }, 'lr: expected a number, got "inf"'],
  [{ epochs: 1.5 }, "epochs: expected an integer, got 1.5"],
  [{ batchSize: 0 }, "batchSize: expected a number above 0, got 0"],
  [{ weightDecay: -1 }, "weightDecay: expected a number of at least 0, got -1"],
  [{ labelSmoothing: 2 }, "labelSmoothing: expected a number of at most 1, got 2"],
  [{ dropPath: 1 }, "dropPath: expected a number below 1, got 1"],
  [{ mixMode: "all" }, 'mixMode: expected one of batch, pair, elem, got "all"'],
  [{ trainMode: 1 }, "trainMode: expected true or false, got 1"],
  [{ crop: ["a"] }, 'crop: expected one of auto, resized, padded, simple, none, got ["a"]'],
  [{ cropScale: [0.5] }, "cropScale: expected a length of at least 2, got [0.5]"],
  [{ cropScale: 1 }, "cropScale: expected a list, got 1"],
  [{ rate: 1 }, 'settings: expected no other names, got "rate"'],
])("%o: says what was expected and what came", (settings, said) => {
  expect(() => makeRecipe(settings)).toThrow(new Error(`recipe: ${said}`));
});

test("every item says what it does, and its range where it is a number", () => {
  for (const [name, type] of Object.entries(recipeSchema.shape)) {
    const text = z.globalRegistry.get(type)?.description ?? "";
    expect(text.length, name).toBeGreaterThan(15);
    if (typeof makeRecipe()[name as keyof Recipe] === "number")
      expect(text, name).toMatch(/ or more|above 0|\[0, 1[\])]|below|: off|divide|power of two|in \[|parts of/);
  }
});

test("images are mixed among those of a shard, and of what is computed at once", () => {
  const of = (recipe: Record<string, unknown>) => mixGroupSize(makeRecipe(recipe));
  expect(of({ batchSize: 1024 })).toBe(256); // as on the official code's four GPUs
  expect(of({ batchSize: 1024, repeats: 1 })).toBe(1024);
  expect(of({ batchSize: 1024, accumulate: 4 })).toBe(256);
  expect(of({ batchSize: 1024, accumulate: 8 })).toBe(128);
  expect(of({ batchSize: 1024, accumulate: 2 })).toBe(256);
  expect(of({ batchSize: 64, accumulate: 2, repeats: 1 })).toBe(32);
  expect(of({ batchSize: 20 })).toBe(20); // shards of five have no pairs
});

test.each(readdirSync("train/presets"))("preset %s is a recipe, of a model that it is for", (file) => {
  const { about, recipe } = JSON.parse(readFileSync(`train/presets/${file}`, "utf8")) as { about: string; recipe: Record<string, unknown> };
  expect(about.length).toBeGreaterThan(20);
  const made = makeRecipe(recipe);
  const model = createModel(
    made.distillation !== "none" && !made.singleToken ? "deit_tiny_distilled_patch16_224" : "deit_tiny_patch16_224",
  );
  checkRecipe(made, { ...model, transformer: true }, made.distillation === "none" ? null : { numClasses: 1000 });
});

/** The commands of DeiT III's README but for paths and nodes; what they leave out has its code's default (main.py, augment.py, apex's FusedLAMB). */
const DEIT3: Readonly<Record<string, string>> = {
  deit3:
    "--batch 2048 --lr 4e-3 --epochs 800 --weight-decay 0.05 --reprob 0.0 --smoothing 0.0 --warmup-epochs 5 --opt fusedlamb --warmup-lr 1e-6 --mixup .8 --drop-path 0.05 --cutmix 1.0 --unscale-lr --repeated-aug --bce-loss --color-jitter 0.3 --ThreeAugment",
  "deit3-21k":
    "--batch 2048 --lr 0.001 --epochs 240 --weight-decay 0.02 --reprob 0.0 --smoothing 0.1 --warmup-epochs 5 --opt fusedlamb --warmup-lr 1e-6 --mixup 0 --drop-path 0.05 --cutmix 1.0 --unscale-lr --no-repeated-aug --color-jitter 0.3 --ThreeAugment --src",
  "deit3-21k-finetune":
    "--batch 2048 --lr 0.0003 --epochs 50 --weight-decay 0.02 --reprob 0.0 --smoothing 0.1 --warmup-epochs 5 --opt fusedlamb --warmup-lr 1e-6 --mixup 0 --drop-path 0.05 --cutmix 1.0 --unscale-lr --no-repeated-aug --color-jitter 0.3 --ThreeAugment --src",
  "deit3-384":
    "--batch 512 --lr 1e-5 --epochs 20 --weight-decay 0.1 --reprob 0.0 --smoothing 0.1 --warmup-epochs 5 --opt adamw --warmup-lr 1e-6 --mixup .8 --drop-path 0.0 --cutmix 1.0 --unscale-lr --no-repeated-aug --aa rand-m9-mstd0.5-inc1",
};

test.each(Object.entries(DEIT3))("preset %s is what the released command says", (name, command) => {
  const said = (flag: string) => new RegExp(`--${flag}( ([^- ]\\S*))?(?= |$)`).exec(command);
  const number = (flag: string) => Number(said(flag)![2]);
  const { recipe } = JSON.parse(readFileSync(`train/presets/${name}.json`, "utf8")) as { recipe: Record<string, unknown> };
  const three = said("ThreeAugment") !== null;
  expect(makeRecipe(recipe)).toMatchObject({
    ...{ batchSize: number("batch"), lr: number("lr"), epochs: number("epochs"), scaleLr: said("unscale-lr") === null },
    ...{ schedule: "official", warmupEpochs: number("warmup-epochs"), warmupLr: number("warmup-lr"), minLr: 1e-5 },
    ...{ weightDecay: number("weight-decay"), eps: 1e-8, maxGradNorm: 1, clipGrad: null, emaDecay: 0.99996 },
    optimizer: said("opt")![2] === "fusedlamb" ? "lamb" : "adamw",
    ...{ labelSmoothing: number("smoothing"), bceLoss: said("bce-loss") !== null, bceTargetThresh: said("bce-loss") ? 0 : null },
    ...{ dropPath: number("drop-path"), dropPathUniform: true, dropout: 0, trainMode: true },
    ...{ mixup: number("mixup"), cutmix: number("cutmix"), mixProb: 1, mixSwitchProb: 0.5, mixMode: "batch" },
    ...{ erasing: number("reprob"), repeats: said("repeated-aug") ? 3 : 1, hflip: 0.5, cropScale: [0.08, 1], cropRatio: [3 / 4, 4 / 3] },
    ...(three ? { autoAugment: "3a", colorJitter: number("color-jitter") } : { autoAugment: said("aa")![2] }),
    ...(three ? { crop: said("src") ? "simple" : "resized", cropPadding: 4 } : { crop: "auto" }),
    layerScaleInit: name === "deit3" || name === "deit3-21k" ? 1e-4 : null,
  });
});

test("layerScaleInit is LayerScale's first value, and of nothing else", () => {
  const scaled = createModel({ arch: "deit", imgSize: 16, patchSize: 8, dim: 8, depth: 2, heads: 2, numClasses: 3, layerScale: 1e-6 });
  const at = (recipe: Record<string, unknown>) => firstState(scaled, makeRecipe(recipe), 5);
  const [own, set] = [at({}), at({ layerScaleInit: 1e-4 })];
  for (const [name, { data }] of own)
    expect(set.get(name)!.data, name).toEqual(name.endsWith(".gamma") ? data.map(() => Math.fround(1e-4)) : data);
  expect(own.get("blocks.1.ls2.gamma")!.data[0]).toBe(Math.fround(1e-6));
});

/** Memory said before a run, against what WebGPU is asked for in it: random models and recipes, and runs that no adapter holds. */
import { expect, test } from "vitest";
import { getDevice } from "../../engine/device.ts";
import { trimPool } from "../../engine/launch.ts";
import { Random } from "../../kernels/shared/random.ts";
import { createModel, type Model } from "../../models/model.ts";
import { initialState, ParameterStore } from "../../models/params.ts";
import { checkMemory } from "../../train/check-memory.ts";
import { Evaluator } from "../../train/evaluate.ts";
import { estimate, type MemoryEstimate } from "../../train/estimate.ts";
import { memoryOnly } from "../../train/input/memory.ts";
import { memorySource } from "../../train/input/source.ts";
import { makeStepInput } from "../../train/input/step-input.ts";
import { Optimizer } from "../../train/optimizer.ts";
import { makeRecipe, type Recipe } from "../../train/recipe.ts";
import { evalBatch } from "../../train/run.ts";
import { recordStep } from "../../train/step.ts";
import { train, type TrainOptions } from "../../train/train.ts";
import { measureMemory } from "../measured-memory.ts";

const SEED = 20141;
const CONFIGURATIONS = 30;
const COUNT = 96;
const normalization = { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] };

const pick = <T>(random: Random, values: readonly T[]): T => values[random.int(values.length)]!;

function imagesOf(side: number, count = COUNT) {
  const images = Uint8Array.from({ length: count * 3 * side * side }, (_, i) => (i * 2654435761) >>> 24);
  const labels = Uint8Array.from({ length: count }, (_, i) => i % 10);
  return memorySource({ images, labels, count, classes: [..."abcdefghij"], shape: [3, side, side] }, "noise");
}

interface Configuration extends Pick<TrainOptions, "model" | "recipe" | "teacher" | "train" | "test" | "augment"> {
  readonly what: string;
}

function configuration(random: Random): Configuration {
  const regnet = random.uniform() < 0.15;
  const imgSize = pick(random, [16, 32, 48]);
  const heads = pick(random, [1, 2, 3]);
  const dim = 16 * heads * pick(random, [1, 2, 3]);
  const [patchSize, depth] = [pick(random, [4, 8]), pick(random, [1, 2, 3, 4])];
  const distils = !regnet && random.uniform() < 0.4;
  const distilled = distils || (!regnet && random.uniform() < 0.3);
  const config = { arch: "deit", imgSize, patchSize, dim, depth, heads, numClasses: 10, distilled };
  const model = createModel(
    regnet ? { arch: "regnety", imgSize: 32, w0: 8, wa: 8, wm: 2, groupWidth: 8, depth: 3, stemWidth: 8, numClasses: 10 } : config,
  );
  const [, side] = model.imageShape;
  const accumulate = pick(random, [1, 1, 1, 2, 4]);
  const optimizer = pick(random, ["adamw", "sgd", "lamb"] as const);
  const recipe = makeRecipe({
    ...{ batchSize: 8 * accumulate * pick(random, [1, 2]), accumulate, optimizer, epochs: 10, warmupEpochs: 0, lr: 1e-4 },
    emaDecay: pick(random, [null, 0.99]),
    dropPath: regnet ? 0 : pick(random, [0, 0.1]),
    dropout: regnet ? 0 : pick(random, [0, 0.1]),
    ...(pick(random, [true, false]) ? { mixup: 0, cutmix: 0 } : {}),
    autoAugment: pick(random, [null, "rand-m9-mstd0.5-inc1", "3a"]),
    erasing: pick(random, [0, 0.25]),
    crop: pick(random, ["none", "padded", "resized"] as const),
    trainOnly: pick(random, ["all", "all", "head"] as const),
    ...(distils ? { distillation: pick(random, ["soft", "hard"] as const), cacheTeacher: pick(random, [true, false]) } : {}),
  });
  const teacherModel = createModel({ ...config, dim: 32, heads: 2, depth: 1, distilled: false });
  return {
    ...{ model, recipe, train: imagesOf(side), test: imagesOf(side, 40), augment: pick(random, ["gpu", "gpu", "cpu"] as const) },
    teacher: distils ? { model: teacherModel, state: initialState(teacherModel.params, 1) } : undefined,
    what: [
      regnet ? "regnety" : `deit ${side}/${patchSize} ${dim}x${depth}${distilled ? " distilled" : ""}`,
      `${optimizer} ${recipe.batchSize / accumulate}x${accumulate}`,
      recipe.distillation === "none" ? "" : `${recipe.distillation}${recipe.cacheTeacher ? ", cached" : ""}`,
    ].join(" · "),
  };
}

const promised = ({ model, recipe, teacher, train, test, augment }: Configuration): MemoryEstimate =>
  estimate(model, recipe, { teacher: teacher?.model, images: train.shape, trainCount: train.count, testCount: test.count, augment });

/** The same parts, made on the GPU one after the other. */
async function partsOf({ model, recipe, train, test, augment }: Configuration): Promise<Partial<MemoryEstimate>> {
  trimPool();
  const { stats } = getDevice();
  let before = stats.bytesAllocated;
  const grown = () => stats.bytesAllocated - before;
  const next = () => {
    const bytes = grown();
    before = stats.bytesAllocated;
    return bytes;
  };
  const store = new ParameterStore(model.name, model.params, initialState(model.params, 0), ({ name }) =>
    recipe.trainOnly === "all" ? true : name.startsWith("head"),
  );
  const weights = next();
  const optimizer = new Optimizer(recipe, store);
  const state = next();
  const input = makeStepInput({ model, recipe, seed: 0, normalization, train, augment });
  const images = next();
  const step = await recordStep({ model, store, optimizer, recipe, teacher: null, input: (patch) => input.launch(patch) });
  const activations = next();
  const evaluator = await Evaluator.create(model, store.tensors, normalization, evalBatch(recipe, test.count));
  const evaluation = next();
  for (const part of [evaluator, step, input, optimizer, store]) part.dispose();
  return { parameters: weights, optimizer: state, input: images, activations, evaluation };
}

const off = (got: number, expected: number): string => `${((100 * (got - expected)) / expected).toFixed(2)} %`;

test(`${CONFIGURATIONS} random configurations: within 5 % of what is measured`, async () => {
  const random = new Random(SEED);
  const rows: string[] = [];
  for (let n = 0; n < CONFIGURATIONS; n++) {
    const c = configuration(random);
    const said = promised(c);
    trimPool();
    const options = { ...c, seed: 1, normalization, platform: memoryOnly, maxSteps: 2, onCheckpoint: () => Promise.resolve() };
    const { peak } = await measureMemory(() => train(options));
    rows.push(`| ${n + 1} | ${c.what} | ${said.peak} | ${peak} | ${off(said.peak, peak)} |`);
    console.log(rows.at(-1));
    expect(Math.abs(said.peak - peak), c.what).toBeLessThanOrEqual(0.05 * peak);
    if (c.teacher) continue; // its weights and logits are in the same step
    const parts = await partsOf(c);
    const expected = {
      parameters: said.parameters + said.gradients / (c.recipe.accumulate > 1 ? 2 : 1),
      optimizer: said.optimizer,
      input: said.input,
      activations: said.activations,
      evaluation: said.evaluation,
    };
    // The step's own small tensors and the sum of gradients are made with its plan here, and are input and gradients there.
    const sum = c.recipe.accumulate > 1 ? said.gradients / 2 : 0;
    for (const part of ["parameters", "optimizer", "evaluation"] as const)
      expect(Math.abs(expected[part] - parts[part]!), `${part} of ${c.what}`).toBeLessThanOrEqual(0.05 * parts[part]!);
    const both = parts.input! + parts.activations!;
    expect(Math.abs(expected.input + expected.activations + sum - both), `input and activations of ${c.what}`).toBeLessThanOrEqual(
      0.05 * both,
    );
  }
  trimPool();
});

const named = (name: string): Model => createModel(name, 10);
const small = createModel({ arch: "deit", imgSize: 32, patchSize: 4, dim: 48, depth: 2, heads: 3, numClasses: 10 });
const vast = (name: string, batchSize: number, more: Partial<Recipe> = {}): [Model, Recipe, number?] => [
  named(name),
  makeRecipe({ batchSize, ...more }),
];

const TOO_LARGE: readonly (readonly [model: Model, recipe: Recipe, memoryLimit?: number])[] = [
  vast("deit_tiny_patch16_224", 1024),
  vast("deit_tiny_distilled_patch16_224", 512),
  vast("deit_small_patch16_224", 256),
  vast("deit_small_patch16_224", 1024, { optimizer: "lamb" }),
  vast("deit_base_patch16_224", 256),
  vast("deit_base_patch16_384", 64),
  vast("regnety_004", 1024),
  vast("regnety_040", 512),
  [small, makeRecipe({ batchSize: 512 }), 100_000_000],
  [small, makeRecipe({ batchSize: 64, accumulate: 2, optimizer: "sgd" }), 10_000_000],
];

test("ten runs that are too large: each refused before any allocation", async () => {
  for (const [model, recipe, memoryLimit] of TOO_LARGE) {
    const [, side] = model.imageShape;
    const source = { shape: [3, side, side] as const, count: 10_000 };
    const options = { model, recipe, train: source, test: source, memoryLimit };
    let message = "";
    const startMs = performance.now();
    const { buffers } = await measureMemory(async () => {
      try {
        checkMemory(options);
      } catch (error) {
        message = (error as Error).message;
      }
    });
    console.log(
      `| ${model.name}, ${recipe.batchSize / recipe.accumulate} | ${message} | ${((performance.now() - startMs) / 1000).toFixed(1)} s |`,
    );
    expect(buffers).toBe(0);
    expect(message).toMatch(/^train: expected at most \d+ (bytes|workgroups).*, got .*; (batches of \d+ fit|not even batches of \d+ fit)/);
    const fits = /; batches of (\d+) fit/.exec(message);
    if (!fits) continue;
    const batchSize = Number(fits[1]);
    expect(checkMemory({ ...options, recipe: { ...recipe, batchSize, accumulate: 1 } }).peak).toBeLessThanOrEqual(memoryLimit ?? Infinity);
  }
});

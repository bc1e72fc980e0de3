/** Cases of training share these: a tiny student, its teacher, images whose class shows, a recipe with everything on, and a run of them. */
import { philox } from "../kernels/shared/random.ts";
import { createModel } from "../models/model.ts";
import { initialState } from "../models/params.ts";
import { CIFAR10_CLASSES, type ImageSet } from "../train/data/dataset.ts";
import { memoryOnly } from "../train/input/memory.ts";
import { memorySource } from "../train/input/source.ts";
import { makeRecipe } from "../train/recipe.ts";
import { train, type TrainOptions, type TrainResult } from "../train/train.ts";

/** Images whose class shows: a bright square at one of ten places, over noise. */
function squares(count: number, side: number, seed: number): ImageSet {
  const images = new Uint8Array(count * 3 * side * side);
  const labels = Uint8Array.from({ length: count }, (_, n) => n % 10);
  for (let i = 0; i < images.length; i++) images[i] = philox([i, 0, 0, 0], [seed, 0])[0] >>> 26;
  for (let n = 0; n < count; n++) {
    const [y, x] = [Math.floor(labels[n]! / 5) * 8, (labels[n]! % 5) * 3];
    for (let c = 0; c < 3; c++) for (let k = 0; k < 16; k++) images[((n * 3 + c) * side + y + (k >> 2)) * side + x + (k & 3)] = 230;
  }
  return { images, labels, count, classes: CIFAR10_CLASSES, shape: [3, side, side] };
}

export const student = createModel({
  arch: "deit",
  imgSize: 16,
  patchSize: 4,
  dim: 16,
  depth: 2,
  heads: 2,
  numClasses: 10,
  distilled: true,
});
export const plain = createModel({ arch: "deit", imgSize: 16, patchSize: 4, dim: 16, depth: 2, heads: 2, numClasses: 10 });
export const teacherModel = createModel({ arch: "deit", imgSize: 16, patchSize: 4, dim: 16, depth: 1, heads: 2, numClasses: 10 });
export const teacher = { model: teacherModel, state: initialState(teacherModel.params, 9) };
const source = (count: number, side: number, seed: number) => memorySource(squares(count, side, seed), "squares");
export const data = {
  train: source(80, 16, 1),
  test: source(20, 16, 2),
  platform: memoryOnly,
  normalization: { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] },
};

/** Images as they are. */
export const PLAIN = { crop: "none", hflip: 0, autoAugment: null, erasing: 0, repeats: 1 } as const;

/** Everything on at once: distillation, mixing, dropped paths, crops, the average. */
export const everything = makeRecipe({
  epochs: 5,
  batchSize: 16,
  lr: 0.02,
  warmupEpochs: 1,
  distillation: "hard",
  dropPath: 0.3,
  emaDecay: 0.9,
  cropPadding: 2,
});

export const run = (o: Partial<TrainOptions> = {}): Promise<TrainResult> =>
  train({ model: student, recipe: everything, seed: 3, teacher, ...data, evalEvery: 100, ...o });

/** A step's image input: tensors written before each run, and the launches that turn them into the model's input. */
import { getDevice } from "../../engine/device.ts";
import { Tensor } from "../../engine/tensor.ts";
import { normalizeImages } from "../../kernels/augment/normalize.ts";
import type { Model } from "../../models/model.ts";
import { BatchAugment } from "../augment/batch.ts";
import { eraseBoxes } from "../augment/erasing.ts";
import { makeAugment, type AugmentSettings } from "../augment/sample.ts";
import type { Batch } from "./options.ts";
import type { Prepare } from "./prepare.ts";
import type { ImageSource } from "./source.ts";
import type { Recipe } from "../recipe.ts";

/** Mean and std of each channel, in [0, 1] units. */
export interface Normalization {
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

export interface StepInput {
  /** The images' height and width. */
  readonly side: number;
  /** The input pipeline's work before it. */
  readonly prepare: Prepare;
  /** Recorded: (B, 3, side, side), normalised; where the GPU augments and `patch` p is given, its patches (B, P, 3 p p). */
  launch(patch?: number): Tensor;
  write(batch: Batch): void;
  dispose(): void;
}

interface InputSettings {
  readonly model: Model;
  readonly recipe: Recipe;
  readonly seed: number;
  readonly normalization: Normalization;
  /** The images' source, for their shape. */
  readonly train: Pick<ImageSource, "shape">;
  /** Where images are augmented; default: on the GPU. */
  readonly augment?: "gpu" | "cpu" | undefined;
}

/** Random choices are drawn on the CPU in both cases, and images are uploaded once, as bytes. */
export function makeStepInput(o: InputSettings): StepInput {
  const settings = augmentOf(o.recipe, o.model.imageShape[1]);
  return o.augment === "cpu" ? augmentedOnCpu(o, settings) : augmentedOnGpu(o, settings);
}

/** The GPU resizes images up to STRETCH times the output's side and AREA times its area; workers first shrink larger ones. */
const STRETCH = 4;
const AREA = 4;

function augmentedOnGpu({ recipe, seed, normalization, train }: InputSettings, settings: AugmentSettings): StepInput {
  const { size } = settings;
  const count = recipe.batchSize / recipe.accumulate;
  const [, height, width] = train.shape ?? [3, 0, 0];
  // The size limit of one binding applies too.
  const fits = Math.floor(getDevice().limits.maxStorageBufferBindingSize / (3 * count));
  const area = train.shape ? height * width : Math.max(size * size, Math.min(AREA * size * size, fits));
  const side = train.shape ? Math.max(height, width) : STRETCH * size;
  const images = new BatchAugment(settings, { count, bytes: 3 * count * area, stretch: side / size, normalization });
  return {
    side: size,
    prepare: { kind: "draw", settings, seed, area, side },
    launch: (patch) => images.launch(patch),
    write: (batch) => images.write(batch),
    dispose: () => images.dispose(),
  };
}

/** The reference: images are augmented in the pipeline's workers; bytes cross, unless something is erased after normalisation. */
function augmentedOnCpu({ model, recipe, seed, normalization }: InputSettings, settings: AugmentSettings): StepInput {
  const [channels, side] = model.imageShape;
  const shape = [recipe.batchSize / recipe.accumulate, channels, side, side];
  const erases = recipe.erasing > 0;
  const images = Tensor.zeros(shape, erases ? "f32" : "u8");
  return {
    side,
    prepare: { kind: "augment", settings, seed },
    launch: () => (erases ? images : normalizeImages(images, normalization)),
    write: (batch) => images.write(erases ? erasedImages(batch, [channels, side, side], normalization) : batch.bytes),
    dispose: () => images.dispose(),
  };
}

/** Normalised images (B, channels, height, width) with their boxes erased. */
function erasedImages({ bytes, records }: Batch, shape: readonly [number, number, number], { mean, std }: Normalization): Float32Array {
  const [channels, height, width] = shape;
  const area = height * width;
  const out = Float32Array.from(bytes, (v, i) => {
    const c = Math.floor(i / area) % channels;
    return (v / 255 - mean[c]!) / std[c]!;
  });
  records.forEach(({ erase: boxes }, b) => eraseBoxes(out.subarray(b * channels * area, (b + 1) * channels * area), shape, boxes));
  return out;
}

/** Images of at most this side, in pixels, keep their size, as CIFAR's in the official code. */
const SMALL = 32;

/** The crop that `crop: "auto"` chooses for images of `side`. */
export const cropKind = ({ crop }: Pick<Recipe, "crop">, side: number) => (crop !== "auto" ? crop : side <= SMALL ? "padded" : "resized");

/** The recipe's augmentation for images of `side`. */
export function augmentOf(recipe: Recipe, side: number): AugmentSettings {
  const {
    cropScale: scale,
    cropRatio: ratio,
    cropPadding: padding,
    hflip,
    autoAugment,
    colorJitter,
    erasing,
    erasingMode,
    erasingCount,
  } = recipe;
  const kind = cropKind(recipe, side);
  return makeAugment({
    size: side,
    hflip,
    autoAugment,
    colorJitter,
    crop: kind === "resized" ? { kind, scale, ratio } : kind === "none" ? { kind } : { kind, padding },
    erasing: { prob: erasing, mode: erasingMode, count: erasingCount },
  });
}

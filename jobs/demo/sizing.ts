/** The demo's student: its recipe, and the largest size that fits the adapter's time. */
import { createModel } from "../../models/model.ts";
import { gather, type ImageSet } from "../../train/data/dataset.ts";
import { memoryOnly } from "../../train/input/memory.ts";
import { memorySource } from "../../train/input/source.ts";
import { makeRecipe } from "../../train/recipe.ts";
import { train } from "../../train/train.ts";
import type { Host } from "../host.ts";
import { DISTILLATION, RECIPE } from "./recipe.ts";
import { normalization, type Trained } from "./trained.ts";

/** Students by cost, smallest first. The first fits software adapters. */
const STUDENTS = [
  { dim: 64, depth: 4, heads: 2, patchSize: 8, maxEpochs: 60 },
  { dim: 96, depth: 6, heads: 3, patchSize: 4, maxEpochs: 80 },
  { dim: 192, depth: 9, heads: 3, patchSize: 4, maxEpochs: 120 },
] as const;

const MIN_EPOCHS = 2;

/** Time of the training without a teacher divided by the time with one. */
const PLAIN_SHARE = 0.65;

/** The largest student, and its most epochs, that fit `budget` seconds: found by timing a few distillation steps. */
export async function fit(
  host: Host,
  teacher: Trained,
  trainSet: ImageSet,
  testSet: ImageSet,
  seed: number,
  budget: number,
): Promise<{ config: Record<string, unknown>; epochs: number }> {
  let best: { config: Record<string, unknown>; epochs: number } | null = null;
  for (const { maxEpochs, ...size } of STUDENTS) {
    const config = { arch: "deit", imgSize: trainSet.shape[1], numClasses: trainSet.classes.length, distilled: true, ...size };
    const trial = await train({
      model: createModel(config),
      teacher,
      train: memorySource(trainSet, "training images"),
      test: memorySource(firstOf(testSet, 50), "test images"),
      platform: memoryOnly,
      seed,
      normalization,
      recipe: makeRecipe({ ...RECIPE, epochs: 1, warmupEpochs: 0, ...DISTILLATION }),
      maxSteps: 9,
      onCompile: (done, total) => host.progress({ label: "sizing the student to this adapter: compiling kernels", done, total }),
    });
    const epochs = Math.floor((budget * trial.imagesPerSecond) / ((1 + PLAIN_SHARE) * trainSet.count));
    if (best && epochs < maxEpochs / 2) break;
    best = { config, epochs: Math.max(MIN_EPOCHS, Math.min(maxEpochs, epochs)) };
    if (epochs < maxEpochs) break;
  }
  return best!;
}

const firstOf = (set: ImageSet, n: number): ImageSet => ({
  ...set,
  ...gather(
    set,
    Uint32Array.from({ length: n }, (_, i) => i),
  ),
  count: n,
});

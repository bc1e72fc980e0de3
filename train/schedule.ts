/**
 * Cosine learning rate with linear warm-up, held constant inside an epoch, as the released DeiT training computes it.
 *
 *   f(t) = warmupLr + t * (peak - warmupLr) / W          for t < W
 *   f(t) = minLr + (peak - minLr) * (1 + cos(pi t / T)) / 2   for W <= t < T
 *   f(t) = minLr                                          for t >= T
 *
 * The cosine is measured from t = 0, not from the end of the warm-up. The official loop steps its scheduler after an epoch with that
 * epoch's own number, so that epoch 0 trains at f(0) and epoch e >= 1 at f(e - 1): two epochs at the warm-up rate. `official` keeps
 * this, for published results were made so; `fixed` trains epoch e at f(e).
 *
 * Touvron et al. 2021, https://arxiv.org/abs/2012.12877, table 9; timm's CosineLRScheduler with one cycle.
 */
import type { Recipe } from "./recipe.ts";

export interface CosineSchedule {
  /** T, total number of epochs. */
  readonly epochs: number;
  /** The highest rate, already scaled by `linearScaledLr`. */
  readonly peakLr: number;
  /** W, whole or not; default 5. */
  readonly warmupEpochs?: number;
  /** Rate of epoch 0; default 1e-6, whatever the batch. */
  readonly warmupLr?: number;
  /** Rate at the end; default 1e-5, whatever the batch. */
  readonly minLr?: number;
  readonly mode?: "official" | "fixed";
}

/** The rate that every step of `epoch` (0-based) uses. Throws for sizes that make no schedule. */
export function cosineLr(schedule: CosineSchedule, epoch: number): number {
  const { epochs, peakLr, warmupEpochs = 5, warmupLr = 1e-6, minLr = 1e-5, mode = "official" } = schedule;
  checkCount("epochs", epochs, 1);
  checkCount("epoch", epoch, 0);
  for (const [name, value] of Object.entries({ peakLr, warmupLr, minLr, warmupEpochs })) {
    if (!(value >= 0 && value < Infinity)) throw new Error(`cosineLr: expected a finite ${name} of 0 or more, got ${value}`);
  }
  if (mode !== "official" && mode !== "fixed") throw new Error(`cosineLr: expected mode official or fixed, got ${String(mode)}`);
  // Before its first step the scheduler holds the warm-up rate, or the peak where there is no warm-up: f(0) in both cases.
  const t = mode === "official" ? Math.max(0, epoch - 1) : epoch;
  if (t < warmupEpochs) return warmupLr + (t * (peakLr - warmupLr)) / warmupEpochs;
  if (t >= epochs) return minLr;
  return minLr + 0.5 * (peakLr - minLr) * (1 + Math.cos((Math.PI * t) / epochs));
}

/** lr * batch / 512: the official scaling of the peak rate; `batch` counts all images of a step. */
export function linearScaledLr(lr: number, batch: number): number {
  if (!(batch > 0 && batch < Infinity)) throw new Error(`linearScaledLr: expected a positive batch, got ${batch}`);
  return (lr * batch) / 512;
}

/** The rate of one step under a recipe. Its "step" schedule moves with every step: warm-up, then a cosine over what is left. */
export function learningRate(
  recipe: Recipe,
  { epoch, step, stepsPerEpoch }: { epoch: number; step: number; stepsPerEpoch: number },
): number {
  const { epochs, warmupEpochs, warmupLr, minLr } = recipe;
  const peakLr = recipe.scaleLr ? linearScaledLr(recipe.lr, recipe.batchSize) : recipe.lr;
  if (recipe.schedule !== "step") return cosineLr({ epochs, peakLr, warmupEpochs, warmupLr, minLr, mode: recipe.schedule }, epoch);
  const t = step / stepsPerEpoch;
  if (t < warmupEpochs) return warmupLr + (t * (peakLr - warmupLr)) / warmupEpochs;
  return minLr + 0.5 * (peakLr - minLr) * (1 + Math.cos((Math.PI * (t - warmupEpochs)) / (epochs - warmupEpochs)));
}

function checkCount(name: string, value: number, least: number): void {
  if (!Number.isInteger(value) || value < least)
    throw new Error(`cosineLr: expected ${name} to be an integer of ${least} or more, got ${value}`);
}

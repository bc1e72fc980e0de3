/** A run's identity: resuming from a checkpoint of another run throws, naming the difference. */
import { digestImages, digestState } from "./digest.ts";
import type { TrainOptions } from "./options.ts";
import type { Recipe } from "./recipe.ts";

/** A checkpoint that cannot be resumed from: damaged, or of another run. */
export class ResumeError extends Error {
  override readonly name = "ResumeError";

  constructor(message: string) {
    super(`resume: ${message}`);
  }
}

export interface RunIdentity {
  readonly seed: number;
  readonly recipe: Recipe;
  /** The model's config. */
  readonly model: unknown;
  readonly origin: Origin;
}

/** Inputs outside the recipe that decide the weights and the measured accuracy. */
export interface Origin {
  readonly trainImages: number;
  readonly trainClasses: number;
  readonly trainDigest: string;
  readonly testImages: number;
  readonly testDigest: string;
  readonly teacherDigest: string | null;
  /** Of the weights that LoRA's additions go to; only of such runs. */
  readonly frozenDigest?: string;
  readonly augment: "gpu" | "cpu";
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

export async function identify({
  seed,
  recipe,
  model,
  initial,
  train,
  test,
  platform,
  teacher,
  answers,
  augment = "gpu",
  normalization,
}: TrainOptions) {
  const origin: Origin = {
    trainImages: train.count,
    trainClasses: train.classes.length,
    trainDigest: await digestImages(train, platform),
    testImages: test.count,
    testDigest: await digestImages(test, platform),
    teacherDigest: teacher
      ? await digestState(teacher.state, teacher.model.config)
      : answers
        ? await digestState(new Map([["logits", { shape: [answers.logits.length], data: answers.logits }]]), {})
        : null,
    ...(recipe.trainOnly === "lora" && initial ? { frozenDigest: await digestState(initial, model.config) } : {}),
    augment,
    mean: [...normalization.mean],
    std: [...normalization.std],
  };
  return { seed, recipe, model: model.config, origin } satisfies RunIdentity;
}

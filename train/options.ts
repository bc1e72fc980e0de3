/** Options and result of `train`. */
import type { Model } from "../models/model.ts";
import type { State } from "../models/params.ts";
import type { Position } from "./position.ts";
import type { ImagePlatform, ImageSource } from "./input/source.ts";
import type { LayerRanges } from "./debug-text.ts";
import type { Normalization } from "./input/step-input.ts";
import type { EpochMetrics, StepMetrics } from "./metrics.ts";
import type { LaunchTime } from "./profile.ts";
import type { Recipe } from "./recipe.ts";

export interface TeacherAnswers {
  /** What gave them, for records. */
  readonly name: string;
  readonly numClasses: number;
  /** (count, numClasses), in the order of the training images. */
  readonly logits: Float32Array;
}

export interface TrainOptions {
  readonly model: Model;
  readonly recipe: Recipe;
  readonly seed: number;
  readonly train: ImageSource;
  readonly test: ImageSource;
  /** Reads and decodes images that are files. */
  readonly platform: ImagePlatform;
  /** Threads that prepare images; 0 unless given. */
  readonly workers?: number | undefined;
  /** Where images are augmented; "gpu" unless given. The two round differently, so a resumed run must keep its choice. */
  readonly augment?: "gpu" | "cpu" | undefined;
  readonly normalization: Normalization;
  readonly teacher?: { readonly model: Model; readonly state: State } | undefined;
  /** In place of a teacher: its answers for every training image without augmentation; needs `cacheTeacher` in the recipe. */
  readonly answers?: TeacherAnswers | undefined;
  /** A checkpoint of this run, to resume from. */
  readonly resume?: Uint8Array | undefined;
  /** Resume although data, teacher, normalization or `augment` differ from the run's. */
  readonly allowChanged?: boolean | undefined;
  /**
   * At the first update that is not finite (its loss, gradients or new parameters): run it again launch by launch, and end with the source of
   * the first NaN. Slower, and needs the memory of parameters and optimizer a second time. Gradients that overflow f16 because of the loss
   * scale are expected, and their update is skipped.
   */
  readonly debugNan?: boolean | undefined;
  /** Number of updates between calls of `onStats`; the first update is measured. */
  readonly statsEvery?: number | undefined;
  readonly onStats?: ((stats: { readonly step: number; readonly layers: readonly LayerRanges[] }) => void) | undefined;
  /**
   * Number of updates between those that are timed launch by launch (the first batch of each). Such an update is a little slower and makes
   * the same bits. Without a GPU clock (`timestamp-query`) none is timed.
   */
  readonly profileEvery?: number | undefined;
  readonly onProfile?: ((profile: { readonly step: number; readonly launches: readonly LaunchTime[] }) => void) | undefined;
  /** Initial weights of this model, instead of random ones. */
  readonly initial?: State | undefined;
  readonly evalBatchSize?: number | undefined;
  /** Bytes of GPU memory that the run may take; a larger run is refused before it takes any. */
  readonly memoryLimit?: number | undefined;
  /** Epochs between evaluations; the last epoch is always evaluated. 1 unless given. */
  readonly evalEvery?: number | undefined;
  /** Number of updates after which the run ends, counted from its beginning. */
  readonly maxSteps?: number | undefined;
  /** Number of updates between checkpoints within an epoch. */
  readonly saveEvery?: number | undefined;
  /** Whether every epoch ends with a checkpoint; it does unless this is false. */
  readonly saveEpochs?: boolean | undefined;
  /** Seconds since the last checkpoint after which the next update is followed by one. */
  readonly saveSeconds?: number | undefined;
  /** Called after every update; `true` saves and stops. */
  readonly shouldStop?: (() => boolean) | undefined;
  readonly onCompile?: (done: number, total: number) => void;
  readonly onMetrics?: (metrics: StepMetrics | EpochMetrics) => void;
  readonly onCheckpoint?: ((bytes: Uint8Array, position: Position) => Promise<void>) | undefined;
  /** Share of the training images, in [0, 1], that may be unreadable before the run ends; 0.01 unless given. */
  readonly maxCorrupt?: number | undefined;
  readonly onCorrupt?: ((image: { readonly name: string; readonly reason: string }) => void) | undefined;
}

export interface TrainResult {
  /** All weights of the model; LoRA's additions are merged. */
  readonly state: State;
  /** What was trained: `state` itself, or LoRA's matrices and the classifiers, by the names of `withLora`. */
  readonly learned: State;
  /** The moving average of the weights; `null` where the recipe keeps none. */
  readonly ema: State | null;
  readonly position: Position;
  readonly epochs: readonly EpochMetrics[];
  /** False: stopped by `shouldStop`. */
  readonly finished: boolean;
  readonly planBytes: number;
  /** Launches per update. */
  readonly launches: number;
  readonly imagesPerSecond: number;
}

/** Types of the functions that an app calls: loading, classifying, fine-tuning. */
import type { ImageSource } from "../kernels/images/image.ts";
import type { ModelConfig } from "../models/model.ts";
import type { Area, Protocol } from "../models/images/protocols.ts";
import type { DownloadCache } from "../models/checkpoints/url.ts";
import type { EpochMetrics, StepMetrics } from "../train/metrics.ts";
import type { Recipe } from "../train/recipe.ts";
import type { LoraOptions } from "../models/lora.ts";

export type { LoraOptions } from "../models/lora.ts";

export type { ModelConfig };

/** A picture: a URL, a file, or an object of the platform that holds pixels. */
export type ImageInput = string | URL | Blob | ImageSource;

export interface Progress {
  readonly phase: "download" | "upload" | "compile" | "prepare" | "train" | "evaluate";
  /** Progress: `done` of `total`, counted in bytes, pipelines, pictures or steps; `total` is 0 if it is not known. */
  readonly done: number;
  readonly total: number;
}

export interface Common {
  /** Stops the work: loading rejects with the signal's reason; fine-tuning saves and returns. */
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

export interface LoadOptions extends Common {
  /** timm's name or a config, for files that do not say what model they are. */
  readonly model?: string | Partial<ModelConfig>;
  /** The classes' names; "imagenet": those of ImageNet's 1000. The file's own, or numbers, unless given. */
  readonly labels?: readonly string[] | "imagenet";
  /** Side of the model's input, in pixels; position embeddings are interpolated to it. */
  readonly inputSize?: number;
  /** Preprocessing; default "timm", unless the file holds its own or has Hugging Face's names. */
  readonly protocol?: Protocol;
  /** How activations and matrices are stored; "f16" needs the feature shader-f16. "f32" unless given. */
  readonly dtype?: "f32" | "f16";
  /** Which head of a distilled model answers: the mean of both unless given. */
  readonly head?: "mean" | "class" | "distillation";
  /** Cache of downloads; default: the page's Cache; `null`: none. */
  readonly cache?: DownloadCache | null;
  /**
   * Whether the tiles of products are timed against each other on the adapter, for 50 ms a shape, before the first results. On GPUs in a
   * page, which keeps what was found, unless given. For all models that are loaded from now on.
   */
  readonly races?: boolean;
  /** Milliseconds without a byte after which a download is tried again, four times in all; 30,000 unless given. */
  readonly timeoutMs?: number;
}

export interface Prediction {
  readonly label: string;
  /** Of the label in `labels`. */
  readonly index: number;
  readonly probability: number;
}

export interface AnswerOptions {
  /** Stops the work: the call rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

export interface ClassifyOptions extends AnswerOptions {
  /** 5 unless given. */
  readonly topK?: number;
}

export interface FeatureOptions extends AnswerOptions {
  /** "cls": the class token (transformers, their default); "mean": the patches' mean (convolutional networks' default); "none": all tokens. */
  readonly pool?: "cls" | "mean" | "none";
  /** Features after this block (or stage), counted from 0; default: after the last block and the norm. */
  readonly block?: number;
}

export interface AttentionOptions extends AnswerOptions {
  /** The token that attends; default "class". */
  readonly token?: "class" | "distillation";
  /** Block and head, each counted from 0; the rollout over all blocks unless both are given. */
  readonly block?: number;
  readonly head?: number;
}

export interface AttentionMap {
  /** Patches per side. */
  readonly side: number;
  /** (side * side): how much each patch is attended to. */
  readonly weights: Float32Array;
  /** The part of the picture that these patches are of, in shares of its width and height: preprocessing cuts off the rest. */
  readonly area: Area;
}

export interface SaveOptions {
  /** "safetensors" unless given. "onnx": for other runtimes, `pixel_values` (batch, 3, size, size), normalised, to `logits` (batch, K). */
  readonly format?: "safetensors" | "pth" | "onnx";
  /** Naming of the parameters; default "timm". */
  readonly names?: "timm" | "hf";
  /** Of format "onnx": how weights are stored and what the runtime computes in; "f32" unless given. Inputs and outputs are f32. */
  readonly dtype?: "f32" | "f16";
}

export interface VisionModel {
  /** The classes' names; empty for a model without a head, for which `classify` throws. */
  readonly labels: readonly string[];
  readonly config: ModelConfig;
  /**
   * The `topK` most probable classes (default 5), best first. Frees all GPU memory that it used.
   *
   * @example
   * ```ts
   * const [best] = await model.classify(canvas, { topK: 3 });
   * console.log(best!.label, best!.probability);
   * ```
   */
  classify(image: ImageInput, o?: ClassifyOptions): Promise<Prediction[]>;
  classify(images: readonly ImageInput[], o?: ClassifyOptions): Promise<Prediction[][]>;
  /**
   * A vector that describes the picture: of the last block after the norm unless `o` says otherwise. Similar pictures have similar vectors.
   *
   * @example
   * ```ts
   * const [a, b] = await model.features([canvas, "/photo.jpg"], { pool: "mean" });
   * console.log(a!.length === b!.length);
   * ```
   */
  features(image: ImageInput, o?: FeatureOptions): Promise<Float32Array>;
  features(images: readonly ImageInput[], o?: FeatureOptions): Promise<Float32Array[]>;
  /**
   * How much each patch of the picture is attended to.
   *
   * @example
   * ```ts
   * const { side, weights } = await model.attention(canvas, { block: 11, head: 0 });
   * console.log(`${side} x ${side} patches`, Math.max(...weights));
   * ```
   */
  attention(image: ImageInput, o?: AttentionOptions): Promise<AttentionMap>;
  /**
   * A new model of these examples; this one stays as it is.
   *
   * @example
   * ```ts
   * const photos = [{ image: "/cat.jpg", label: "cat" }, { image: "/dog.jpg", label: "dog" }];
   * const { model: mine } = await model.fineTune(photos, { train: "lora", epochs: 10, validation: 0 });
   * ```
   */
  fineTune(examples: Iterable<Example> | AsyncIterable<Example>, o?: FineTuneOptions): Promise<FineTuned>;
  /**
   * A file that `loadModel` reads without options: it holds labels and preprocessing.
   *
   * @example
   * ```ts
   * await opfs("mine").set(await model.save());
   * ```
   */
  save(o?: SaveOptions): Promise<Uint8Array>;
  /** Frees the model's GPU memory. */
  dispose(): void;
}

export interface Example {
  readonly image: ImageInput;
  readonly label: string;
}

export interface FineTuneOptions extends Common {
  /** The classes in order; default: the examples' labels, sorted. */
  readonly labels?: readonly string[];
  /** The part that learns; default "head": the classifier alone, in seconds, on features computed once. */
  readonly train?: "head" | "lora" | "attention" | "all";
  /** Settings of `train: "lora"`. */
  readonly lora?: LoraOptions;
  /** Default: 20, or more where few pictures would get fewer than 300 updates; of "head" 100 steps, each on all pictures. */
  readonly epochs?: number;
  /** 16 at most, unless given. */
  readonly batchSize?: number;
  /**
   * Peak learning rate, not scaled by the batch size; default 0.002 for "lora", 0.0005 for "attention", 0.0004 for "all", and for "head" 0.003
   * up to 180 examples, growing to 0.01 at 2,000.
   */
  readonly learningRate?: number;
  /** "light" (crops and flips) unless given; "head" has none. */
  readonly augment?: "none" | "light" | "deit";
  /** Share of each class held back for measuring, in [0, 1), or separate examples; default 0.2; 0: none. */
  readonly validation?: number | Iterable<Example>;
  readonly seed?: number;
  /** Settings of the recipe, which override all others. */
  readonly recipe?: Partial<Recipe>;
  /** Store for the run's state. If it holds an unfinished run of the same settings and examples, that run is resumed; a finished run empties it. */
  readonly checkpoint?: Store;
  /** When the state is saved, in addition to a stop; default: every 30 seconds. */
  readonly checkpointEvery?: { readonly steps?: number; readonly seconds?: number };
  readonly onStep?: (metrics: StepMetrics) => void;
  readonly onEpoch?: (metrics: TuneEpoch) => void;
}

/** `test` is null if nothing was held back. */
export type TuneEpoch = Omit<EpochMetrics, "test"> & { readonly test: EpochMetrics["test"] | null };

export interface FineTuned {
  readonly model: VisionModel;
  /** False: stopped by the signal; the checkpoint is written. */
  readonly finished: boolean;
  /** Metrics of the epochs of this call. */
  readonly epochs: readonly TuneEpoch[];
}

/** A place for one file. */
export interface Store {
  get(): Promise<Uint8Array | null>;
  set(bytes: Uint8Array): Promise<void>;
  delete(): Promise<void>;
}

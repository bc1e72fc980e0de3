/** What an app calls: the types of loading, classifying and fine-tuning. */
import type { ImageSource } from "../engine/image.ts";
import type { DeitConfig } from "../models/deit.ts";
import type { Protocol } from "../models/images/protocols.ts";
import type { RegNetConfig } from "../models/regnet.ts";
import type { DownloadCache } from "../models/checkpoints/url.ts";
import type { EpochMetrics, StepMetrics } from "../train/metrics.ts";
import type { Recipe } from "../train/recipe.ts";
import type { LoraOptions } from "./lora.ts";

export type { LoraOptions } from "./lora.ts";

export type ModelConfig = DeitConfig | RegNetConfig;

/** A picture: a URL, a file, or pixels that the platform holds. */
export type ImageInput = string | URL | Blob | ImageSource;

export interface Progress {
  readonly phase: "download" | "upload" | "compile" | "prepare" | "train" | "evaluate";
  /** Of `total`, in bytes, pipelines, pictures or steps; `total` is 0 where it is not known. */
  readonly done: number;
  readonly total: number;
}

export interface Common {
  /** Stops the work: loading rejects with the signal's reason, fine-tuning saves and returns. */
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

export interface LoadOptions extends Common {
  /** timm's name or a config, for files that do not say what model they are. */
  readonly model?: string | Partial<ModelConfig>;
  /** The classes' names; "imagenet": those of ImageNet's 1000. The file's own, or numbers, unless given. */
  readonly labels?: readonly string[] | "imagenet";
  /** Side of the pictures that the model sees, in pixels; position embeddings are interpolated. */
  readonly inputSize?: number;
  /** Whose preprocessing: "timm" unless the file brings its own or has Hugging Face's names. */
  readonly protocol?: Protocol;
  /** How activations and matrices are stored; "f16" needs the feature shader-f16. "f32" unless given. */
  readonly dtype?: "f32" | "f16";
  /** Which head of a distilled model answers: the mean of both unless given. */
  readonly head?: "mean" | "class" | "distillation";
  /** Where downloads are kept: the page's Cache unless given; `null`: nowhere. */
  readonly cache?: DownloadCache | null;
}

export interface Prediction {
  readonly label: string;
  /** Of the label in `labels`. */
  readonly index: number;
  readonly probability: number;
}

export interface FeatureOptions {
  /** "cls": the class token (transformers, their default); "mean": the patches' mean (convolutional networks' default); "none": all tokens. */
  readonly pool?: "cls" | "mean" | "none";
  /** Features after this block (or stage), from 0, instead of the last one's after the norm. */
  readonly block?: number;
}

export interface AttentionOptions {
  /** Whose attention; "class" unless given. */
  readonly token?: "class" | "distillation";
  /** One block's, from 0, and one head's of it; the rollout over all blocks unless both are given. */
  readonly block?: number;
  readonly head?: number;
}

export interface AttentionMap {
  /** Patches per side. */
  readonly side: number;
  /** (side * side): how much each patch is attended to. */
  readonly weights: Float32Array;
}

export interface SaveOptions {
  readonly format?: "safetensors" | "pth" | "onnx";
  /** Whose parameter names; "timm" unless given. */
  readonly names?: "timm" | "hf";
}

export interface VisionModel {
  /** Empty without a head; `classify` then says so. */
  readonly labels: readonly string[];
  readonly config: ModelConfig;
  /** The most probable classes first, `topK` of them (5 unless given). Leaves no memory behind. */
  classify(image: ImageInput, o?: { readonly topK?: number }): Promise<Prediction[]>;
  classify(images: readonly ImageInput[], o?: { readonly topK?: number }): Promise<Prediction[][]>;
  features(image: ImageInput, o?: FeatureOptions): Promise<Float32Array>;
  features(images: readonly ImageInput[], o?: FeatureOptions): Promise<Float32Array[]>;
  attention(image: ImageInput, o?: AttentionOptions): Promise<AttentionMap>;
  /** A new model of these examples; this one stays as it is. */
  fineTune(examples: Iterable<Example> | AsyncIterable<Example>, o?: FineTuneOptions): Promise<FineTuned>;
  /** A file that `loadModel` reads with nothing else said: labels and preprocessing are inside. */
  save(o?: SaveOptions): Promise<Uint8Array>;
  /** Gives the GPU's memory back. */
  dispose(): void;
}

export interface Example {
  readonly image: ImageInput;
  readonly label: string;
}

export interface FineTuneOptions extends Common {
  /** The classes in order; those of the examples, sorted, unless given. */
  readonly labels?: readonly string[];
  /** What learns. "head": the classifier alone, on features that are computed once, in seconds. "head" unless given. */
  readonly train?: "head" | "lora" | "attention" | "all";
  /** Of train "lora". */
  readonly lora?: LoraOptions;
  readonly epochs?: number;
  readonly batchSize?: number;
  /** The peak, for a batch of any size. */
  readonly learningRate?: number;
  /** "light" (crops and flips) unless given; "head" has none. */
  readonly augment?: "none" | "light" | "deit";
  /** The share of each class that is held back to measure, or examples of their own; 0.2 unless given, 0: nothing. */
  readonly validation?: number | Iterable<Example>;
  readonly seed?: number;
  /** Settings of the recipe that go before all others. */
  readonly recipe?: Partial<Recipe>;
  /** Where the run's state is kept. One that holds an unfinished run of the same settings and examples is gone on with; a finished run empties it. */
  readonly checkpoint?: Store;
  /** When the state is kept besides at a stop: every 30 seconds unless given. */
  readonly checkpointEvery?: { readonly steps?: number; readonly seconds?: number };
  readonly onStep?: (metrics: StepMetrics) => void;
  readonly onEpoch?: (metrics: TuneEpoch) => void;
}

/** `test` is null where nothing was held back. */
export type TuneEpoch = Omit<EpochMetrics, "test"> & { readonly test: EpochMetrics["test"] | null };

export interface FineTuned {
  readonly model: VisionModel;
  /** False: stopped by the signal; the checkpoint is written. */
  readonly finished: boolean;
  /** Of this call. */
  readonly epochs: readonly TuneEpoch[];
}

/** A place for one file. */
export interface Store {
  get(): Promise<Uint8Array | null>;
  set(bytes: Uint8Array): Promise<void>;
  delete(): Promise<void>;
}

export interface Progress { phase: "download" | "upload" | "compile" | "prepare" | "train" | "evaluate"; done: number; total: number }
export interface Common { signal?: AbortSignal; onProgress?: (p: Progress) => void }
export interface Prediction { label: string; index: number; probability: number }
export type ImageInput = string | URL | Blob | ImageData | ImageBitmap | HTMLVideoElement;
export interface Example { image: ImageInput; label: string }
export interface EpochMetrics { epoch: number }
export interface Store { get(): Promise<Uint8Array | null>; set(bytes: Uint8Array): Promise<void>; delete(): Promise<void> }
export interface VisionModel {
  readonly labels: readonly string[];
  readonly config: { arch: "deit"; distilled: boolean; depth: number; heads: number } | { arch: "regnety" };
  classify(image: ImageInput, o?: { topK?: number }): Promise<Prediction[]>;
  classify(images: readonly ImageInput[], o?: { topK?: number }): Promise<Prediction[][]>;
  features(image: ImageInput): Promise<Float32Array | Float32Array[]>;
  attention(image: ImageInput, o?: { token?: "class" | "distillation"; block?: number; head?: number }): Promise<{ side: number; weights: Float32Array }>;
  fineTune(e: Iterable<Example>, o: Common & { labels?: readonly string[]; train?: string; epochs?: number; seed?: number; learningRate?: number; validation?: Iterable<Example>; checkpoint?: Store; checkpointEvery?: { seconds?: number }; onStep?: (m: { loss: number }) => void }): Promise<{ model: VisionModel; finished: boolean; epochs: readonly EpochMetrics[] }>;
  save(o?: { format?: "safetensors" | "pth" | "onnx" }): Promise<Uint8Array>;
  dispose(): void;
}
export function opfs(_name: string): Store { return { get: async () => null, set: async () => undefined, delete: async () => undefined }; }

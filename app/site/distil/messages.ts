/** Messages between the page and its worker. */

export interface Settings {
  readonly size: keyof typeof SIZES;
  readonly distillation: "none" | "soft" | "hard";
  readonly epochs: number;
  readonly learningRate: number;
  readonly batchSize: number;
  readonly seed: number;
}

/** Students for 32-pixel pictures: width, blocks, heads, patch. */
export const SIZES = {
  small: { dim: 64, depth: 4, heads: 2, patchSize: 8 },
  middle: { dim: 96, depth: 6, heads: 3, patchSize: 4 },
  large: { dim: 192, depth: 9, heads: 3, patchSize: 4 },
} as const;

export interface StepReport {
  readonly step: number;
  readonly totalSteps: number;
  readonly loss: number;
  /** Label term and teacher term of the loss; the latter is 0 without a teacher. */
  readonly labels: number;
  readonly teacher: number;
  readonly learningRate: number;
  readonly imagesPerSecond: number;
  /** Share of the step's time spent waiting for pictures, in [0, 1]. */
  readonly inputWait: number;
}

/** One of the twelve pictures shown whenever a run pauses or ends. */
export interface Look {
  readonly label: string;
  readonly answer: string;
  readonly probability: number;
  readonly teacher: string;
  /** RGBA of `side` x `side` pixels. */
  readonly pixels: Uint8ClampedArray<ArrayBuffer>;
  readonly side: number;
  /** Attention of the class token, patches by row, `grid` x `grid`. */
  readonly attention: Float32Array;
  readonly grid: number;
}

export interface Evaluated {
  readonly step: number;
  readonly student: number;
  /** By head, of a distilled student. */
  readonly classHead: number | null;
  readonly distillationHead: number | null;
  readonly looks: readonly Look[];
}

/** A timed step. */
export interface StepProfile {
  readonly step: number;
  /** Kernel, begin and length in ms on the GPU's clock, in order. */
  readonly launches: readonly (readonly [kernel: string, startMs: number, ms: number])[];
}

export interface Facts {
  readonly adapter: string;
  readonly software: boolean;
  readonly teacherTop1: number;
  readonly launches: number;
  readonly parameters: number;
  readonly planMegabytes: number;
  /** Whether the adapter has a clock by which launches are timed. */
  readonly timed: boolean;
}

export type FromWorker =
  | { readonly kind: "status"; readonly text: string }
  | { readonly kind: "facts"; readonly facts: Partial<Facts> }
  | { readonly kind: "steps"; readonly steps: readonly StepReport[] }
  | { readonly kind: "evaluated"; readonly evaluated: Evaluated }
  | { readonly kind: "profile"; readonly profile: StepProfile }
  | { readonly kind: "ended"; readonly finished: boolean }
  | { readonly kind: "failed"; readonly message: string };

export type ToWorker =
  | {
      readonly kind: "start";
      readonly settings: Settings;
      readonly run: string;
      readonly goOn: boolean;
      /** The paused run whose student this one begins from. */
      readonly from: string | null;
      readonly data: Sources;
    }
  | { readonly kind: "pause" };

/** Addresses of the shipped pictures and of the teacher. */
export interface Sources {
  readonly train: string;
  readonly test: string;
  readonly teacher: string;
}

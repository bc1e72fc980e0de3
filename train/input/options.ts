/** Options and results of an `InputPipeline`. */
import type { ImageRecord } from "../augment/sample.ts";
import type { Prepare } from "./prepare.ts";
import type { ImagePlatform } from "./source.ts";

/** The entries of an epoch: an image each, and which of its copies (0 where left out). */
export interface EpochEntries {
  readonly images: ArrayLike<number>;
  readonly copies?: ArrayLike<number>;
}

export interface InputOptions {
  readonly batchSize: number;
  /** Fixed by the epoch; every epoch has as many entries. */
  readonly order: (epoch: number) => EpochEntries;
  readonly prepare: Prepare;
  readonly platform: ImagePlatform;
  /** Threads; 0 prepares in this one. */
  readonly workers?: number;
  /** Batches made ahead. */
  readonly ahead?: number;
  /** Position to begin at, for a resumed run. */
  readonly start?: { readonly epoch: number; readonly step: number };
  /** Total number of epochs. */
  readonly epochs?: number;
  /** Keep the short batch at an epoch's end, which training drops. */
  readonly keepLast?: boolean;
  /** Largest share of corrupt images, in [0, 1]; more is an error. */
  readonly maxCorrupt?: number;
  readonly onCorrupt?: (image: { readonly index: number; readonly name: string; readonly reason: string }) => void;
}

export interface Batch {
  readonly epoch: number;
  /** Within the epoch. */
  readonly step: number;
  /** Every image (3, height, width), one after the other. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Offset in `bytes` and size of each image. */
  readonly offsets: Uint32Array;
  readonly heights: Uint32Array;
  readonly widths: Uint32Array;
  /** Indices of the images, after corrupt ones were replaced. */
  readonly images: Uint32Array;
  readonly copies: Uint32Array;
  readonly labels: Uint32Array;
  /** Each image's drawn operations that are still to be applied. */
  readonly records: readonly ImageRecord[];
}

export interface InputStats {
  /** Images handed out per second of the time between the first request and the last answer. */
  readonly imagesPerSecond: number;
  /** Milliseconds that callers of `next` waited, and the total time, also in milliseconds. */
  readonly waitedMs: number;
  readonly totalMs: number;
  readonly images: number;
  /** Different images that could not be decoded. */
  readonly corrupt: number;
}

/** What an `InputPipeline` is asked for, and what it gives. */
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
  /** Where to begin, for a run that was stopped. */
  readonly start?: { readonly epoch: number; readonly step: number };
  /** Epochs in all; nothing past them is made. */
  readonly epochs?: number;
  /** Keep the short batch at an epoch's end, which training drops. */
  readonly keepLast?: boolean;
  /** The share of the source's images that may be corrupt before it is an error. */
  readonly maxCorrupt?: number;
  readonly onCorrupt?: (image: { readonly index: number; readonly name: string; readonly reason: string }) => void;
}

export interface Batch {
  readonly epoch: number;
  /** Within the epoch. */
  readonly step: number;
  /** Every image (3, height, width), one after the other. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Where each begins in `bytes`, and its size. */
  readonly offsets: Uint32Array;
  readonly heights: Uint32Array;
  readonly widths: Uint32Array;
  /** Which images they are, after corrupt ones were replaced. */
  readonly images: Uint32Array;
  readonly copies: Uint32Array;
  readonly labels: Uint32Array;
  /** Of each image, what was drawn and is still to be done. */
  readonly records: readonly ImageRecord[];
}

export interface InputStats {
  /** Images handed out per second of the time between the first request and the last answer. */
  readonly imagesPerSecond: number;
  /** How long `next` kept its callers waiting, and in how much time in all. */
  readonly waitedMs: number;
  readonly totalMs: number;
  readonly images: number;
  /** Different images that could not be decoded. */
  readonly corrupt: number;
}

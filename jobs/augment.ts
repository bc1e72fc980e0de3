/** `augment`: image operations on the GPU. Takes and returns the image as base64; the command decodes and encodes the files. */
import { applyOpsOnGpu } from "../train/augment/apply-gpu.ts";
import { parseOps } from "../train/augment/ops.ts";
import { refusing } from "./errors.ts";
import type { Host } from "./host.ts";

/** Bytes (height, width, 3). */
export interface PackedImage {
  readonly height: number;
  readonly width: number;
  readonly base64: string;
}

export interface AugmentArgs {
  readonly image: PackedImage;
  readonly ops: readonly unknown[];
}

export default async function augmentJob(_: Host, { image: { height, width, base64 }, ops }: AugmentArgs): Promise<{ image: PackedImage }> {
  const parsed = refusing(() => parseOps(ops));
  const data = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const out = await applyOpsOnGpu({ height, width, data }, parsed);
  let text = "";
  for (let i = 0; i < out.data.length; i += 0x8000) text += String.fromCharCode(...out.data.subarray(i, i + 0x8000));
  return { image: { height: out.height, width: out.width, base64: btoa(text) } };
}

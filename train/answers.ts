/** Answers of a teacher that runs outside of this engine: its logits for every training image, without augmentation. */
import { preprocessing } from "../models/images/protocols.ts";
import { InputPipeline } from "./input/pipeline.ts";
import type { ImagePlatform, ImageSource } from "./input/source.ts";
import type { Normalization } from "./input/step-input.ts";

/** x: (count, 3, side, side), normalised. Returns logits (count, K). */
export type OutsideTeacher = (
  x: Float32Array,
  count: number,
  side: number,
) => Promise<{ readonly logits: Float32Array; readonly numClasses: number }>;

export interface AnswerOptions {
  readonly side: number;
  readonly platform: ImagePlatform;
  readonly normalization: Normalization;
  readonly workers?: number | undefined;
  readonly onProgress?: (done: number) => void;
}

const BATCH = 32;

/** Images of another size are resized as for an evaluation. Throws for an image that cannot be read. */
export async function answersOf(
  teacher: OutsideTeacher,
  images: ImageSource,
  o: AnswerOptions,
): Promise<{ logits: Float32Array; numClasses: number }> {
  const { side, platform, workers = 0, normalization } = o;
  const ready = String(images.shape) === String([3, side, side]);
  const pipeline = new InputPipeline(images, {
    batchSize: Math.min(BATCH, images.count),
    order: () => ({ images: Uint32Array.from({ length: images.count }, (_, i) => i) }),
    prepare: ready ? { kind: "decode" } : { kind: "evaluate", placing: preprocessing("official", "", side) },
    ...{ platform, workers, epochs: 1, keepLast: true, maxCorrupt: 0 },
  });
  const rows: Float32Array[] = [];
  let numClasses = 0;
  try {
    for (let at = 0; at < images.count; at += BATCH) {
      const { bytes, images: shown } = await pipeline.next();
      const answer = await teacher(normalized(bytes.subarray(0, shown.length * 3 * side * side), side, normalization), shown.length, side);
      rows.push(answer.logits);
      numClasses = answer.numClasses;
      o.onProgress?.(at + shown.length);
    }
  } finally {
    await pipeline.close();
  }
  const logits = new Float32Array(images.count * numClasses);
  rows.reduce((at, row) => (logits.set(row, at), at + row.length), 0);
  return { logits, numClasses };
}

/** Bytes (B, 3, side, side), as the kernel of this name does it. */
const normalized = (bytes: Uint8Array, side: number, { mean, std }: Normalization): Float32Array =>
  Float32Array.from(bytes, (v, i) => {
    const channel = Math.floor(i / (side * side)) % 3;
    return (v / 255 - mean[channel]!) / std[channel]!;
  });

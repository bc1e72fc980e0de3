/** Prepares one image for its batch: decodes it, draws its augmentation, and applies that on the CPU or crops for the GPU. Runs in workers. */
import { isPlain } from "../../engine/errors.ts";
import type { RgbImage } from "../../models/images/preprocess.ts";
import { preprocess, type Placing } from "../../models/images/protocols.ts";
import { isPlacing } from "../augment/encode.ts";
import { crop } from "../augment/geometry.ts";
import { applyOps } from "../augment/ops.ts";
import { sampleImage, type AugmentSettings, type ImageRecord } from "../augment/sample.ts";
import { inMemory, interleaved, planar, type FileRange, type ImagePlatform, type RawImage } from "./source.ts";

/** Plain data, so that it can be sent to a worker. */
export type Prepare =
  /** Only the bytes, in their own size. */
  | { readonly kind: "decode" }
  /** For training on the CPU: draws from (seed, epoch, image, copy) and applies them; bytes of `settings.size`. */
  | { readonly kind: "augment"; readonly settings: AugmentSettings; readonly seed: number }
  /** For training on the GPU: the same draws, not applied; only the cropped part of the image. A crop of more than `area` pixels or too long a side is resized here. */
  | { readonly kind: "draw"; readonly settings: AugmentSettings; readonly seed: number; readonly area: number; readonly side: number }
  /** For evaluation: resized, then the centre crop. */
  | { readonly kind: "evaluate"; readonly placing: Placing };

/** One image to make. */
export interface Task {
  readonly at: RawImage | FileRange;
  readonly image: number;
  readonly copy: number;
  readonly epoch: number;
}

export interface Prepared extends RawImage {
  /** Drawn operations left to the GPU; with `augment`, those after normalisation. */
  readonly record: ImageRecord;
}

const NOTHING: ImageRecord = { ops: [], erase: [] };

/** An image in memory that goes to the GPU as it is. */
export const rawImage = (at: RawImage, task: Omit<Task, "at">, prepare: Extract<Prepare, { kind: "decode" | "draw" }>): Prepared => ({
  ...at,
  record: prepare.kind === "decode" ? NOTHING : sampleImage(prepare.settings, at, placeOf(task, prepare)),
});

const placeOf = ({ image, copy, epoch }: Omit<Task, "at">, { seed }: { readonly seed: number }) => ({ seed, epoch, image, copy });

/** The image, or the reason why its file gives none. Other errors are thrown. */
export async function prepareImage(
  task: Task,
  prepare: Prepare,
  platform: ImagePlatform,
): Promise<Prepared | { readonly corrupt: string }> {
  const { at } = task;
  if (inMemory(at)) return prepare.kind === "decode" ? rawImage(at, task, prepare) : work(interleaved(at));
  let decoded: RgbImage;
  try {
    decoded = await platform.decode(await platform.read(at), { upright: false });
  } catch (error) {
    if (!isPlain(error)) throw error; // a lost device, no memory left
    return { corrupt: error.message.split("\n")[0]! };
  }
  return work(decoded);

  function work(source: RgbImage): Prepared {
    if (prepare.kind === "decode") return { ...planar(source), record: NOTHING };
    if (prepare.kind === "evaluate") return { ...planar(preprocess(source, prepare.placing)), record: NOTHING };
    const { ops, erase } = sampleImage(prepare.settings, source, placeOf(task, prepare));
    if (prepare.kind === "augment") return { ...planar(applyOps(source, ops)), record: { ops: [], erase } };
    const [first] = ops;
    const box = first?.op === "resizedCrop" ? first : null;
    const seen = box ? crop(source, box, "zero") : source;
    const left = box ? ops.with(0, { ...box, top: 0, left: 0 }) : ops;
    if (seen.height * seen.width <= prepare.area && Math.max(seen.height, seen.width) <= prepare.side)
      return { ...planar(seen), record: { ops: left, erase } };
    const placed = left.findIndex((op) => !isPlacing(op));
    const placing = placed < 0 ? left.length : placed;
    return { ...planar(applyOps(seen, left.slice(0, placing))), record: { ops: left.slice(placing), erase } };
  }
}

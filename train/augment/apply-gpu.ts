/** The named operations on the GPU, on one image or a list of them: the same interface as `applyOps`, which is the reference. */
import { scope } from "../../engine/memory.ts";
import { Tensor } from "../../engine/tensor.ts";
import { augmentBlur } from "../../kernels/augment/blur.ts";
import { augmentCrop, encodeBands, encodeSources } from "../../kernels/augment/crop.ts";
import { augmentOp } from "../../kernels/augment/pixel-op.ts";
import { encodeOp, WORDS } from "../../kernels/augment/records.ts";
import { augmentTables } from "../../kernels/augment/histogram.ts";
import { checkImage, type RgbImage } from "../../models/images/preprocess.ts";
import { isPlacing, needsTables, pixelOp, placement, type Placement } from "./encode.ts";
import { FILL } from "./geometry.ts";
import type { AugmentOp } from "./ops.ts";

/** Applies the operations in order, on bytes (height, width, 3). Geometric ones may differ from `applyOps` by one level in single pixels. */
export async function applyOpsOnGpu(image: RgbImage, ops: readonly AugmentOp[]): Promise<RgbImage> {
  checkImage("applyOps", image);
  const pixels = scope(() => ops.reduce(apply, upload(image)));
  const [, height, width] = pixels.shape as [number, number, number];
  const words = (await pixels.read()) as Uint32Array;
  pixels.dispose();
  return { height, width, data: Uint8Array.from({ length: 3 * words.length }, (_, i) => words[Math.floor(i / 3)]! >>> (8 * (i % 3))) };
}

const upload = ({ height, width, data }: RgbImage): Tensor =>
  Tensor.from(
    Uint32Array.from({ length: height * width }, (_, i) => data[3 * i]! | (data[3 * i + 1]! << 8) | (data[3 * i + 2]! << 16)),
    [1, height, width],
    "u32",
  );

function apply(pixels: Tensor, op: AugmentOp): Tensor {
  const [, height, width] = pixels.shape as [number, number, number];
  if (isPlacing(op)) return place(pixels, placement({ height, width }, [op]));
  const words = new Uint32Array(WORDS);
  encodeOp(words, 0, pixelOp(op, { height, width }));
  const slot = { records: Tensor.from(words, [1, 1, WORDS], "u32"), slot: 0 };
  if (op.op === "GaussianBlur") return augmentBlur(pixels, slot);
  return augmentOp(pixels, slot, needsTables(op) ? augmentTables(pixels, slot) : null, FILL);
}

function place(pixels: Tensor, { down, across }: Placement): Tensor {
  const [, h, w] = pixels.shape as [number, number, number];
  const bands = [...down, ...across];
  const taps = bands.reduce((most, { weights }) => Math.max(most, weights.length), 1);
  const words = new Int32Array(bands.length * (2 + taps));
  encodeBands(words, taps, bands);
  return augmentCrop(pixels, {
    sources: Tensor.from(encodeSources([{ offset: 0, height: h, width: w }]), [1, 3], "u32"),
    bands: Tensor.from(words, [1, bands.length, 2 + taps], "i32"),
    height: down.length,
    width: across.length,
  });
}

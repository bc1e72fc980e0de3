/**
 * Random crops for training: torchvision's RandomResizedCrop and RandomCrop, and DeiT III's simple random crop.
 *
 * RandomResizedCrop: area A = share * height * width, aspect a log-uniform; sides sqrt(A a) and sqrt(A / a), rounded half to even; ten
 * tries to find a box inside the image, then the largest central one of allowed aspect. Szegedy et al. 2014, https://arxiv.org/abs/1409.4842
 */
import { roundHalfEven } from "../../models/images/preprocess.ts";
import type { Draws } from "./draws.ts";
import type { Box } from "./geometry.ts";
import type { AugmentOp } from "./ops.ts";

export type Crop =
  /** A box of a share of the area within `scale` and an aspect (width by height) within `ratio`, resized. */
  | { readonly kind: "resized"; readonly scale: readonly [number, number]; readonly ratio: readonly [number, number] }
  /** A box of the output's size from the image with `padding` zeros around it. */
  | { readonly kind: "padded"; readonly padding: number }
  /** The shorter side resized to the output's size, then a box from that with `padding` reflected pixels around it. */
  | { readonly kind: "simple"; readonly padding: number }
  /** The image, which must have the output's size. */
  | { readonly kind: "none" };

interface Size {
  readonly height: number;
  readonly width: number;
}

export function sampleResizedCrop(
  { height, width }: Size,
  scale: readonly [number, number],
  ratio: readonly [number, number],
  draws: Draws,
): Box {
  for (let attempt = 0; attempt < 10; attempt++) {
    const area = draws.uniform(scale[0], scale[1]) * (width * height);
    const aspect = Math.exp(draws.uniform(Math.log(ratio[0]), Math.log(ratio[1])));
    const w = roundHalfEven(Math.sqrt(area * aspect));
    const h = roundHalfEven(Math.sqrt(area / aspect));
    // A side may round to 0 on images of few pixels; Pillow has no such crop.
    if (w < 1 || h < 1 || w > width || h > height) continue;
    return { top: draws.int(height - h + 1), left: draws.int(width - w + 1), height: h, width: w };
  }
  const aspect = width / height;
  let [h, w] = [height, width];
  if (aspect < ratio[0]) h = roundHalfEven(width / ratio[0]);
  else if (aspect > ratio[1]) w = roundHalfEven(height * ratio[1]);
  return { top: Math.floor((height - h) / 2), left: Math.floor((width - w) / 2), height: h, width: w };
}

/** The operations that crop `source` to size x size. Throws if the crop cannot. */
export function sampleCrop(crop: Crop, source: Size, size: number, draws: Draws): AugmentOp[] {
  const { height, width } = source;
  switch (crop.kind) {
    case "resized":
      return [{ op: "resizedCrop", ...sampleResizedCrop(source, crop.scale, crop.ratio, draws), size }];
    case "padded":
      return [window(source, size, crop.padding, "zero", draws)];
    case "simple": {
      const shorter = Math.min(height, width);
      const resized = { height: Math.trunc((size * height) / shorter), width: Math.trunc((size * width) / shorter) };
      return [{ op: "resize", ...resized }, window(resized, size, crop.padding, "reflect", draws)];
    }
    case "none":
      if (height !== size || width !== size) {
        throw new Error(`sampleCrop: expected an image of ${size}x${size} where nothing is cropped, got ${height}x${width}`);
      }
      return [];
  }
}

function window({ height, width }: Size, size: number, padding: number, outside: "zero" | "reflect", draws: Draws): AugmentOp {
  const [rows, columns] = [height + 2 * padding - size, width + 2 * padding - size];
  if (rows < 0 || columns < 0) {
    const least = size - 2 * padding;
    throw new Error(
      `sampleCrop: expected an image of at least ${least} a side for a crop of ${size} with padding ${padding}, got ${height}x${width}`,
    );
  }
  return { op: "crop", top: draws.int(rows + 1) - padding, left: draws.int(columns + 1) - padding, height: size, width: size, outside };
}

/**
 * RandAugment's geometric operations, flip and crop, on bytes on the CPU, with Pillow's arithmetic to the bit.
 *
 * An affine map takes each output pixel's centre to a point of the source; the value there is interpolated bicubically with a = -1
 * (resizing has a = -0.5), and truncated. Points outside the image get FILL. (Behaviour checked against Pillow 12.3.)
 */
import { resizeBicubic, type RgbImage } from "../../models/images/preprocess.ts";

/** ImageNet's mean colour. */
export const FILL = [124, 116, 104] as const;

/** Source point of an output point: (a x + b y + c, d x + e y + f). */
export type Affine = readonly [a: number, b: number, c: number, d: number, e: number, f: number];

function transform({ height, width, data }: RgbImage, [a, b, c, d, e, f]: Affine): RgbImage {
  const out = new Uint8Array(data.length);
  const rows = new Float64Array(4); // interpolated along x
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const at = 3 * (y * width + x);
      const sx = a * (x + 0.5) + b * (y + 0.5) + c;
      const sy = d * (x + 0.5) + e * (y + 0.5) + f;
      if (!(sx >= 0 && sx < width && sy >= 0 && sy < height)) {
        out.set(FILL, at);
        continue;
      }
      const left = Math.floor(sx - 0.5);
      const top = Math.floor(sy - 0.5);
      const tx = sx - 0.5 - left;
      const ty = sy - 0.5 - top;
      const x0 = 3 * clip(left - 1, width),
        x1 = 3 * clip(left, width),
        x2 = 3 * clip(left + 1, width),
        x3 = 3 * clip(left + 2, width);
      for (let channel = 0; channel < 3; channel++) {
        for (let k = 0; k < 4; k++) {
          // No function per pixel: a call costs more than the arithmetic.
          const row = 3 * clip(top - 1 + k, height) * width + channel;
          rows[k] = cubic(data[row + x0]!, data[row + x1]!, data[row + x2]!, data[row + x3]!, tx);
        }
        const v = cubic(rows[0]!, rows[1]!, rows[2]!, rows[3]!, ty);
        out[at + channel] = Math.min(255, Math.max(0, v)); // stored truncated
      }
    }
  }
  return { height, width, data: out };
}

const clip = (i: number, size: number): number => Math.min(size - 1, Math.max(0, i));

/** Between v2 (t = 0) and v3 (t = 1), a = -1. The order of operations is part of the result. */
const cubic = (v1: number, v2: number, v3: number, v4: number, t: number): number =>
  v2 + t * (-v1 + v3 + t * (2 * (v1 - v2) + v3 - v4 + t * (-v1 + v2 - v3 + v4)));

/** Counter-clockwise about the centre. Multiples of 90 degrees that keep the shape move pixels and interpolate nothing. */
export function rotate(image: RgbImage, degrees: number): RgbImage {
  const { height, width } = image;
  let angle = degrees % 360;
  if (angle < 0) angle += 360;
  if (angle === 0) return image;
  if (angle === 180) return gather(image, (y, x) => [height - 1 - y, width - 1 - x]);
  if (height === width && angle === 90) return gather(image, (y, x) => [x, width - 1 - y]);
  if (height === width && angle === 270) return gather(image, (y, x) => [height - 1 - x, y]);
  return transform(image, rotation(angle, height, width));
}

/** The affine map that turns counter-clockwise about the centre, entries rounded to 15 decimals. */
export function rotation(degrees: number, height: number, width: number): Affine {
  const radians = -(degrees * (Math.PI / 180));
  const digits = (v: number): number => Number(v.toFixed(15));
  const [cos, sin, minus] = [digits(Math.cos(radians)), digits(Math.sin(radians)), digits(-Math.sin(radians))];
  const [cx, cy] = [width / 2, height / 2];
  return [cos, sin, cos * -cx + sin * -cy + cx, minus, cos, minus * -cx + cos * -cy + cy];
}

/** Moves each row by factor times its distance from the top, to the left where factor is positive. */
export const shearX = (image: RgbImage, factor: number): RgbImage => transform(image, [1, factor, 0, 0, 1, 0]);
/** Moves each column by factor times its distance from the left, up where factor is positive. */
export const shearY = (image: RgbImage, factor: number): RgbImage => transform(image, [1, 0, 0, factor, 1, 0]);
/** To the left by a share of the width. */
export const translateXRel = (image: RgbImage, fraction: number): RgbImage => transform(image, [1, 0, fraction * image.width, 0, 1, 0]);
/** Up by a share of the height. */
export const translateYRel = (image: RgbImage, fraction: number): RgbImage => transform(image, [1, 0, 0, 0, 1, fraction * image.height]);

/** Copies to each output pixel the source pixel with the index `source(…)`. */
function gather({ height, width, data }: RgbImage, source: (y: number, x: number) => readonly [y: number, x: number]): RgbImage {
  const out = new Uint8Array(data.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [sy, sx] = source(y, x);
      for (let c = 0; c < 3; c++) out[3 * (y * width + x) + c] = data[3 * (sy * width + sx) + c]!;
    }
  }
  return { height, width, data: out };
}

/** Left and right exchanged. */
export const hflip = (image: RgbImage): RgbImage => gather(image, (y, x) => [y, image.width - 1 - x]);

export interface Box {
  readonly top: number;
  readonly left: number;
  readonly height: number;
  readonly width: number;
}

/** The box, which must lie inside the image, resized to `size` x `size`. */
export function resizedCrop(image: RgbImage, { top, left, height, width }: Box, size: number): RgbImage {
  if (top + height > image.height || left + width > image.width) {
    throw new Error(`resizedCrop: expected a box inside ${image.height}x${image.width}, got ${height}x${width} at ${top}, ${left}`);
  }
  const data = new Uint8Array(3 * height * width);
  for (let y = 0; y < height; y++) {
    const at = 3 * ((top + y) * image.width + left);
    data.set(image.data.subarray(at, at + 3 * width), 3 * y * width);
  }
  return resizeBicubic({ height, width, data }, size, size);
}

/**
 * Crops a box that may reach beyond the image: pixels outside are zero, or the image mirrored about its border pixels, as torchvision's
 * padding before a crop.
 */
export function crop(image: RgbImage, { top, left, height, width }: Box, outside: "zero" | "reflect"): RgbImage {
  const data = new Uint8Array(3 * height * width);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      let [sy, sx] = [top + y, left + x];
      if (outside === "reflect") [sy, sx] = [mirror(sy, image.height), mirror(sx, image.width)];
      if (sy < 0 || sy >= image.height || sx < 0 || sx >= image.width) continue;
      for (let c = 0; c < 3; c++) data[3 * (y * width + x) + c] = image.data[3 * (sy * image.width + sx) + c]!;
    }
  }
  return { height, width, data };
}

/** Reflects i into [0, size), repeatedly if needed, without repeating the first and the last index. */
export function mirror(i: number, size: number): number {
  if (size === 1) return 0;
  const period = 2 * (size - 1);
  const phase = ((i % period) + period) % period;
  return Math.min(phase, period - phase);
}

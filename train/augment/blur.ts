/**
 * Gaussian blur on bytes on the CPU, with Pillow's arithmetic to the bit: three box blurs along x, then three along y, each rounded to bytes.
 *
 * A box has a fractional radius: 2 l + 1 pixels of full weight and one of part weight at either end; pixels beyond the image are its border's.
 * (Behaviour checked against Pillow 12.3.) Gwosdek et al. 2011, "Theoretical foundations of Gaussian convolution by extended box filtering",
 * https://doi.org/10.1007/978-3-642-24785-9_38
 */
import type { RgbImage } from "../../models/images/preprocess.ts";

const PASSES = 3;
const f = Math.fround;

/** The box's radius for a deviation of `sigma`: equations 7, 11 and 14 of the paper, every step rounded to f32 as in C. */
function boxRadius(sigma: number): number {
  const variance = f(f(f(sigma) * f(sigma)) / PASSES);
  const length = f(Math.sqrt(12 * variance + 1));
  const whole = Math.floor((length - 1) / 2);
  const over = f((2 * whole + 1) * f(whole * (whole + 1) - f(3 * variance)));
  return f(whole + f(over / f(6 * f(variance - (whole + 1) * (whole + 1)))));
}

/** A box blur: pixels at most `radius` away have `weight`, those one further `part`, in units of 2^-24. */
export interface Blur {
  readonly radius: number;
  readonly weight: number;
  readonly part: number;
}

/** The box for a deviation of `sigma` pixels; `null` where it leaves the image. */
export function blurBox(sigma: number): Blur | null {
  const box = boxRadius(sigma);
  if (box === 0) return null;
  const radius = Math.trunc(box);
  const weight = Math.trunc(f(2 ** 24 / f(f(box * 2) + 1)));
  return { radius, weight, part: Math.floor((2 ** 24 - (2 * radius + 1) * weight) / 2) };
}

/** `radius` is the Gaussian's standard deviation in pixels; 0 leaves the image. */
export function gaussianBlur({ height, width, data }: RgbImage, radius: number): RgbImage {
  const box = blurBox(radius);
  let out = new Uint8Array(data);
  if (!box) return { height, width, data: out };
  for (let pass = 0; pass < PASSES; pass++) out = blurRows(out, { count: height, stride: 3 * width }, { count: width, stride: 3 }, box);
  for (let pass = 0; pass < PASSES; pass++) out = blurRows(out, { count: width, stride: 3 }, { count: height, stride: 3 * width }, box);
  return { height, width, data: out };
}

interface Axis {
  readonly count: number;
  /** Distance between neighbours, in bytes. */
  readonly stride: number;
}

/** One box blur along `along`, for every line `across`. */
function blurRows(data: Uint8Array, across: Axis, along: Axis, { radius: l, weight, part }: Blur): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(data.length);
  const last = along.count - 1;
  for (let line = 0; line < across.count; line++) {
    for (let c = 0; c < 3; c++) {
      const base = line * across.stride + c;
      const at = (i: number): number => data[base + Math.min(last, Math.max(0, i)) * along.stride]!;
      let sum = 0;
      for (let k = -l - 1; k < l; k++) sum += at(k); // around the pixel before the first
      for (let i = 0; i <= last; i++) {
        sum += at(i + l) - at(i - l - 1);
        out[base + i * along.stride] = Math.floor((sum * weight + (at(i - l - 1) + at(i + l + 1)) * part + 2 ** 23) / 2 ** 24);
      }
    }
  }
  return out;
}

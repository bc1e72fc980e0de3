/**
 * RandAugment's colour operations on bytes on the CPU, with Pillow's arithmetic to the bit.
 *
 * Either a table per channel (ImageOps), or a blend between the image and a degenerate of it (ImageEnhance).
 * (Behaviour checked against Pillow 12.3.) Cubuk et al. 2019, https://arxiv.org/abs/1909.13719
 */
import type { RgbImage } from "../../models/images/preprocess.ts";

const clamp = (v: number): number => Math.min(255, Math.max(0, v));

/** New value of every byte from `table`, or from a table of its channel's histogram. */
function mapBytes({ height, width, data }: RgbImage, tableOf: (channel: number) => ArrayLike<number>): RgbImage {
  const tables = [tableOf(0), tableOf(1), tableOf(2)];
  return { height, width, data: data.map((v, i) => tables[i % 3]![v]!) };
}

const bytewise = (image: RgbImage, f: (v: number) => number): RgbImage => {
  const table = Uint8Array.from({ length: 256 }, (_, v) => f(v));
  return mapBytes(image, () => table);
};

/** How often each value occurs in a channel. */
function histogram({ data }: RgbImage, channel: number): Uint32Array {
  const counts = new Uint32Array(256);
  for (let i = channel; i < data.length; i += 3) counts[data[i]!]!++;
  return counts;
}

const IDENTITY = Uint8Array.from({ length: 256 }, (_, v) => v);

/** Stretches each channel so that its least value becomes 0 and its greatest 255. */
export function autoContrast(image: RgbImage): RgbImage {
  return mapBytes(image, (channel) => {
    const counts = histogram(image, channel);
    const low = counts.findIndex((n) => n > 0);
    const high = counts.findLastIndex((n) => n > 0);
    if (high <= low) return IDENTITY;
    const scale = 255 / (high - low);
    const offset = -low * scale;
    return Uint8Array.from({ length: 256 }, (_, v) => clamp(Math.trunc(v * scale + offset)));
  });
}

/** Maps each channel by its cumulative histogram. */
export function equalize(image: RgbImage): RgbImage {
  return mapBytes(image, (channel) => {
    const counts = histogram(image, channel);
    const high = counts.findLastIndex((n) => n > 0);
    if (high === counts.findIndex((n) => n > 0)) return IDENTITY;
    const step = Math.floor((image.height * image.width - counts[high]!) / 255);
    if (step === 0) return IDENTITY;
    let n = Math.floor(step / 2);
    return Uint8Array.from(counts, (count) => {
      const v = Math.min(255, Math.floor(n / step)); // above 255 where the highest bin holds most of the image
      n += count;
      return v;
    });
  });
}

export const invert = (image: RgbImage): RgbImage => bytewise(image, (v) => 255 - v);

/** Keeps the `bits` highest bits; 0 gives black. */
export const posterize = (image: RgbImage, bits: number): RgbImage => bytewise(image, (v) => v & ~(2 ** (8 - bits) - 1));

/** Inverts values of `threshold` and above. */
export const solarize = (image: RgbImage, threshold: number): RgbImage => bytewise(image, (v) => (v < threshold ? v : 255 - v));

/** Adds to values below 128. */
export const solarizeAdd = (image: RgbImage, add: number): RgbImage => bytewise(image, (v) => (v < 128 ? Math.min(255, v + add) : v));

/** Luma of each pixel, (height * width). */
function grey({ data }: RgbImage): Uint8Array {
  return Uint8Array.from(
    { length: data.length / 3 },
    (_, i) => (19595 * data[3 * i]! + 38470 * data[3 * i + 1]! + 7471 * data[3 * i + 2]! + 32768) >> 16,
  );
}

/** degenerate + factor * (image - degenerate), every step rounded to f32 as in C, truncated to a byte. */
function blend(image: RgbImage, degenerate: (i: number) => number, factor: number): RgbImage {
  const { height, width, data } = image;
  const alpha = Math.fround(factor);
  if (alpha === 1) return image;
  return {
    height,
    width,
    data: data.map((v, i) => {
      const from = degenerate(i);
      return clamp(Math.trunc(Math.fround(from + Math.fround(alpha * (v - from)))));
    }),
  };
}

/** Saturation: 0 is grey, 1 the image. */
export function color(image: RgbImage, factor: number): RgbImage {
  const luma = grey(image);
  return blend(image, (i) => luma[Math.floor(i / 3)]!, factor);
}

/** 0 is the image's mean grey, 1 the image. */
export function contrast(image: RgbImage, factor: number): RgbImage {
  const luma = grey(image);
  const mean = Math.trunc(luma.reduce((a, b) => a + b, 0) / luma.length + 0.5);
  return blend(image, () => mean, factor);
}

/** 0 is black, 1 the image. */
export const brightness = (image: RgbImage, factor: number): RgbImage => blend(image, () => 0, factor);

/** 0 is the smoothed image, 1 the image, 2 as much sharper as 0 is smoother. */
export function sharpness(image: RgbImage, factor: number): RgbImage {
  const smoothed = smooth(image);
  return blend(image, (i) => smoothed[i]!, factor);
}

/** 3x3 mean with a centre of weight 5; pixels on the border stay. */
function smooth({ height, width, data }: RgbImage): Uint8Array {
  const out = new Uint8Array(data); // not slice, which of a Node Buffer is a view
  const row = 3 * width;
  for (let y = 1; y < height - 1; y++) {
    for (let i = y * row + 3; i < (y + 1) * row - 3; i++) {
      let sum = 4 * data[i]!;
      for (const at of [i - row, i, i + row]) sum += data[at - 3]! + data[at]! + data[at + 3]!;
      out[i] = Math.floor((2 * sum + 13) / 26);
    }
  }
  return out;
}

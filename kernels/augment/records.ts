/**
 * Records of augmentation: one per image and slot, 16 words, that say which operation the image gets there and with what arguments.
 * Between the kernels that read them, pixels are words: red, green and blue from the lowest byte on.
 */
import { show } from "../../engine/shape.ts";
import type { Tensor } from "../../engine/tensor.ts";

/** A record's first word: the operation. The other words are its arguments, see `PixelOp`. */
export const CODES = {
  none: 0,
  invert: 1,
  posterize: 2,
  solarize: 3,
  solarizeAdd: 4,
  color: 5,
  contrast: 6,
  brightness: 7,
  sharpness: 8,
  turn: 9,
  affine: 10,
  autoContrast: 11,
  equalize: 12,
  blur: 13,
} as const;

/** An operation and its arguments as kernels have them. */
export type PixelOp =
  | { readonly code: "none" | "invert" | "autoContrast" | "equalize" }
  /** Bits kept; least value inverted; what is added. */
  | { readonly code: "posterize" | "solarize" | "solarizeAdd"; readonly value: number }
  | { readonly code: "color" | "contrast" | "brightness" | "sharpness"; readonly factor: number }
  /** Source (column, row) of (x, y): (a x + b y + c, d x + e y + f), integers. */
  | { readonly code: "turn"; readonly map: readonly number[] }
  /** The same between pixels' centres, (0, 0) that of the first. */
  | { readonly code: "affine"; readonly map: readonly number[] }
  /** Whole radius, and the weights inside and at the ends in units of 2^-24. */
  | { readonly code: "blur"; readonly radius: number; readonly weight: number; readonly part: number };

/** Words of one record. */
export const WORDS = 16;
/** Factors beyond saturate every pixel that they change. */
const MAX_FACTOR = 2 ** 20;
/** An affine map's coefficients are split at this: products with coordinates are exact in f32. */
const UNIT = 2 ** -12;

/** Writes `op` into the record at `at` of `words`. */
export function encodeOp(words: Uint32Array, at: number, op: PixelOp): void {
  const ints = new Int32Array(words.buffer, words.byteOffset, words.length);
  const floats = new Float32Array(words.buffer, words.byteOffset, words.length);
  words.fill(0, at, at + WORDS);
  words[at] = CODES[op.code];
  switch (op.code) {
    case "posterize":
    case "solarize":
    case "solarizeAdd":
      words[at + 1] = op.value;
      break;
    case "color":
    case "contrast":
    case "brightness":
    case "sharpness": {
      const alpha = Math.fround(Math.min(MAX_FACTOR, Math.max(-MAX_FACTOR, op.factor)));
      if (alpha === 1) return void (words[at] = CODES.none);
      if (Math.abs(alpha) < 2 ** -100) break; // no more than 0
      const exponent = Math.floor(Math.log2(Math.abs(alpha))) - 23;
      words[at + 1] = Math.abs(alpha) * 2 ** -exponent;
      floats[at + 2] = Math.sign(alpha) * 2 ** exponent;
      break;
    }
    case "turn":
      ints.set(op.map, at + 1);
      break;
    case "affine": {
      const whole = op.map.map((v) => Math.round(v / UNIT) * UNIT);
      floats.set(whole, at + 1);
      floats.set(
        op.map.map((v, k) => v - whole[k]!),
        at + 7,
      );
      break;
    }
    case "blur":
      words.set([op.radius, op.weight, op.part], at + 1);
      break;
  }
}

/** WGSL: a pixel's word as three numbers, and back. */
export const pixelWgsl = /* wgsl */ `
fn unpack(word: u32) -> vec3u { return (vec3u(word) >> vec3u(0u, 8u, 16u)) & vec3u(0xffu); }
fn pack(v: vec3u) -> u32 { return v.x | (v.y << 8u) | (v.z << 16u); }
`;

/** Which record of each image counts: `records` are u32 (B, slots, 16), from `encodeOp`. */
export interface Slot {
  readonly records: Tensor;
  readonly slot: number;
}

export function checkSlot(op: string, x: Tensor, { records, slot }: Slot): { B: number; height: number; width: number; slots: number } {
  const [B = 0, height = 0, width = 0] = x.shape;
  const [images, slots = 0, words] = records.shape;
  if (x.dtype !== "u32" || x.shape.length !== 3) throw new Error(`${op}: expected u32 pixels [B,H,W], got ${x.dtype} ${show(x.shape)}`);
  if (records.dtype !== "u32" || images !== B || words !== WORDS || !(slot >= 0 && slot < slots)) {
    throw new Error(`${op}: expected u32 records [${B},more than ${slot},${WORDS}], got ${records.dtype} ${show(records.shape)}`);
  }
  return { B, height, width, slots };
}

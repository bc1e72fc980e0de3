/** Encodes named operations for the augmentation kernels: bands for operations that change an image's size or place, records for the rest. */
import type { PixelOp } from "../../kernels/augment/records.ts";
import { antialiasedBands, BICUBIC, quantized, type Band } from "../../kernels/shared/resample.ts";
import { middle } from "../../models/images/preprocess.ts";
import { blurBox } from "./blur.ts";
import { mirror, rotation, type Affine } from "./geometry.ts";
import type { AugmentOp } from "./ops.ts";

/** Output rows and columns as weighted runs of source rows and columns. */
export interface Placement {
  readonly down: readonly Band[];
  readonly across: readonly Band[];
}

interface Size {
  readonly height: number;
  readonly width: number;
}

const WHOLE = 2 ** 22;
const keep = (from: number, size: number): Band[] => Array.from({ length: size }, (_, i) => ({ from: from + i, weights: [WHOLE] }));

/** Resizes `size` elements starting at `from`; copies them if the size does not change. */
const resized = (from: number, size: number, to: number): Band[] =>
  size === to ? keep(from, size) : quantized(antialiasedBands(size, to, BICUBIC)).map((band) => ({ ...band, from: from + band.from }));

/** `size` outputs starting at `from`; positions outside the image are zero, or mirrored. */
const windowed = (bands: readonly Band[], from: number, size: number, outside: "zero" | "reflect"): Band[] =>
  Array.from(
    { length: size },
    (_, i) => bands[outside === "reflect" ? mirror(from + i, bands.length) : from + i] ?? { from: 0, weights: [] },
  );

export const isPlacing = ({ op }: AugmentOp): boolean =>
  op === "hflip" || op === "crop" || op === "centerCrop" || op === "resize" || op === "resizedCrop";

/** The result of placing operations, of which only the first may resize. Throws as `applyOps` does. */
export function placement({ height, width }: Size, ops: readonly AugmentOp[]): Placement {
  let at: Placement = { down: keep(0, height), across: keep(0, width) };
  ops.forEach((op, k) => {
    const { down, across } = at;
    if (k > 0 && (op.op === "resize" || op.op === "resizedCrop"))
      throw new Error(`placement: expected ${op.op} as the first operation, got it as number ${k + 1}`);
    switch (op.op) {
      case "hflip":
        at = { down, across: across.toReversed() };
        break;
      case "crop":
        at = { down: windowed(down, op.top, op.height, op.outside), across: windowed(across, op.left, op.width, op.outside) };
        break;
      case "centerCrop": {
        const { size } = op;
        if (size > down.length || size > across.length)
          throw new Error(`centerCrop: expected an image of at least ${size}x${size}, got ${down.length}x${across.length}`);
        at = {
          down: windowed(down, middle(down.length, size).from, size, "zero"),
          across: windowed(across, middle(across.length, size).from, size, "zero"),
        };
        break;
      }
      case "resize":
        at = { down: resized(0, height, op.height), across: resized(0, width, op.width) };
        break;
      case "resizedCrop":
        if (op.top + op.height > height || op.left + op.width > width) {
          throw new Error(`resizedCrop: expected a box inside ${height}x${width}, got ${op.height}x${op.width} at ${op.top}, ${op.left}`);
        }
        at = { down: resized(op.top, op.height, op.size), across: resized(op.left, op.width, op.size) };
        break;
      default:
        throw new Error(`placement: expected an operation that places pixels, got ${op.op}`);
    }
  });
  return at;
}

/** The map between pixel centres; `Affine` maps between corners. */
const centred = ([a, b, c, d, e, f]: Affine): PixelOp => ({
  code: "affine",
  map: [a, b, (a + b) / 2 + c - 0.5, d, e, (d + e) / 2 + f - 0.5],
});

function rotated(degrees: number, { height, width }: Size): PixelOp {
  let angle = degrees % 360;
  if (angle < 0) angle += 360;
  if (angle === 0) return { code: "none" };
  if (angle === 180) return { code: "turn", map: [-1, 0, width - 1, 0, -1, height - 1] };
  if (height === width && angle === 90) return { code: "turn", map: [0, -1, width - 1, 1, 0, 0] };
  if (height === width && angle === 270) return { code: "turn", map: [0, 1, 0, -1, 0, height - 1] };
  return centred(rotation(angle, height, width));
}

/** An operation that keeps the size, for an image of that size. */
export function pixelOp(op: AugmentOp, size: Size): PixelOp {
  switch (op.op) {
    case "AutoContrast":
      return { code: "autoContrast" };
    case "Equalize":
      return { code: "equalize" };
    case "Invert":
      return { code: "invert" };
    case "Rotate":
      return rotated(op.degrees, size);
    case "Posterize":
      return { code: "posterize", value: op.bits };
    case "Solarize":
      return { code: "solarize", value: Math.min(256, Math.max(0, Math.ceil(op.threshold))) };
    case "SolarizeAdd":
      return { code: "solarizeAdd", value: op.add };
    case "Color":
      return { code: "color", factor: op.factor };
    case "Contrast":
      return { code: "contrast", factor: op.factor };
    case "Brightness":
      return { code: "brightness", factor: op.factor };
    case "Sharpness":
      return { code: "sharpness", factor: op.factor };
    case "ShearX":
      return centred([1, op.factor, 0, 0, 1, 0]);
    case "ShearY":
      return centred([1, 0, 0, op.factor, 1, 0]);
    case "TranslateXRel":
      return centred([1, 0, op.fraction * size.width, 0, 1, 0]);
    case "TranslateYRel":
      return centred([1, 0, 0, 0, 1, op.fraction * size.height]);
    case "GaussianBlur": {
      const box = blurBox(op.radius);
      return box ? { code: "blur", ...box } : { code: "none" };
    }
    default:
      throw new Error(`pixelOp: expected an operation that keeps the size, got ${op.op}`);
  }
}

/** Whether it needs `augmentTables`. */
export const needsTables = ({ op }: AugmentOp): boolean => op === "AutoContrast" || op === "Equalize" || op === "Contrast";

/**
 * The p x p patches of images: the matrix (patches of all images, C * p * p), whose rows are patches in row-major order. Read where images
 * (B, C, H, W) lie, by maps for `gemm`, which copy nothing: an element's address is a sum of one part per row and one per column.
 * Or written as that matrix from the start, by kernels that make a model's input: the patch layout (B, patches, C * p * p).
 */
import { show, type Shape } from "../../engine/shape.ts";
import type { AddressMap } from "./address-map.ts";

export interface PatchSizes {
  /** Of an image. */
  readonly C: number;
  readonly H: number;
  readonly W: number;
  /** Side of a patch. */
  readonly p: number;
}

/** Sizes of images (B, C, H, W) in patches of side p. */
export function patchSizes(op: string, C: number, H: number, W: number, p: number): PatchSizes {
  if (!Number.isInteger(p) || p < 1 || H % p !== 0 || W % p !== 0)
    throw new Error(`${op}: expected sides that are multiples of a patch's, got ${H} x ${W} and ${p}`);
  return { C, H, W, p };
}

/** Shape of B images in the patch layout. */
export const patchShape = (B: number, s: PatchSizes): Shape => [B, patchesPerImage(s), s.C * s.p * s.p];

/** Sizes of square images whose patch layout has this shape. */
export function sizesOfPatches(op: string, shape: Shape, p: number): PatchSizes {
  const [, P = 0, K = 0] = shape;
  const side = Math.sqrt(P) * p,
    C = K / (p * p);
  if (shape.length !== 3 || !Number.isInteger(side) || !Number.isInteger(C))
    throw new Error(`${op}: expected patches [B,P,C*${p}*${p}] of square images, got ${show(shape)}`);
  return { C, H: side, W: side, p };
}

/** WGSL: where an image's pixel lies in its patch layout. */
export const pixelInPatches = ({ C, W, p }: PatchSizes, c: string, row: string, column: string): string =>
  `((${row}) / ${p}u * ${W / p}u + (${column}) / ${p}u) * ${C * p * p}u + (${c}) * ${p * p}u + (${row}) % ${p}u * ${p}u + (${column}) % ${p}u`;

/** WGSL: an image's row and column of element `e` of its patch layout. */
export const rowOfPatches = ({ C, W, p }: PatchSizes, e: string): string =>
  `(${e}) / ${C * p * p}u / ${W / p}u * ${p}u + (${e}) % ${p * p}u / ${p}u`;
export const columnOfPatches = ({ C, W, p }: PatchSizes, e: string): string =>
  `(${e}) / ${C * p * p}u % ${W / p}u * ${p}u + (${e}) % ${p}u`;

export const patchesPerImage = ({ H, W, p }: PatchSizes): number => (H / p) * (W / p);

/** `patch`: WGSL for the patch of row `i`, counted over all images; the row itself unless given. */
export function patchMap({ C, H, W, p }: PatchSizes, patch = "i"): AddressMap {
  const P = patchesPerImage({ C, H, W, p }),
    across = W / p;
  return {
    row: `((${patch}) / ${P}u) * ${C * H * W}u + ((${patch}) % ${P}u / ${across}u) * ${p * W}u + ((${patch}) % ${across}u) * ${p}u`,
    col: `(i / ${p * p}u) * ${H * W}u + (i % ${p * p}u / ${p}u) * ${W}u + i % ${p}u`,
    fours: p % 4 === 0 && W % 4 === 0,
  };
}

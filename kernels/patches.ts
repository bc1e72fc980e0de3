/**
 * The p x p patches of images, read where they lie: maps for `gemm` of the matrix (patches of all images, C * p * p), whose rows
 * are patches in row-major order. Nothing is copied: an element's address is a sum of one part per row and one per column.
 */
import type { Map } from "./gemm-config.ts";

export interface PatchSizes {
  /** Of an image. */
  readonly C: number;
  readonly H: number;
  readonly W: number;
  /** Side of a patch. */
  readonly p: number;
}

export const patchesPerImage = ({ H, W, p }: PatchSizes): number => (H / p) * (W / p);

/** `patch`: WGSL for the patch of row `i`, counted over all images; the row itself unless given. */
export function patchMap({ C, H, W, p }: PatchSizes, patch = "i"): Map {
  const P = patchesPerImage({ C, H, W, p }), across = W / p;
  return {
    row: `((${patch}) / ${P}u) * ${C * H * W}u + ((${patch}) % ${P}u / ${across}u) * ${p * W}u + ((${patch}) % ${across}u) * ${p}u`,
    col: `(i / ${p * p}u) * ${H * W}u + (i % ${p * p}u / ${p}u) * ${W}u + i % ${p}u`,
  };
}

export const transposedMap = ({ row, col }: Map): Map => ({ row: col, col: row });

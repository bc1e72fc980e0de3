/**
 * Tiles for GPUs that multiply matrices of 8x8x8 (Apple's): a subgroup keeps at most eight of them as sums, since past that an M1's speed
 * collapses (https://github.com/ggml-org/llama.cpp/pull/10982). Not measured here.
 */
import { matrixTile, type MatrixShape, type MatrixTile } from "./matrix-tile.ts";

/** By name, with the relative speed of each where there are enough of them. */
export const TILES_8: Readonly<Record<string, readonly [MatrixTile, number]>> = {
  "matrix-64x64x16": [matrixTile(64, 64, 16, 2, 4, "plain"), 1],
  "matrix-32x64x16": [matrixTile(32, 64, 16, 2, 2, "plain"), 0.9],
  "matrix-32x32x32-plain": [matrixTile(32, 32, 32, 2, 2, "plain"), 0.6],
};

export const isSmall = ({ M, N, K }: MatrixShape): boolean => M === 8 && N === 8 && K === 8;

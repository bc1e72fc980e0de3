/** The tiles of products on tensor cores, and which of them suits a product. */
import { getDevice, type Device } from "../../engine/device.ts";
import { chosen } from "../shared/tuning.ts";
import { matrixKernel } from "./matrix-kernel.ts";
import { divides, matrixBytes, matrixTile, registersOf, sumThreads, wordOf, type MatrixSetup, type MatrixTile } from "./matrix-tile.ts";
import { isSmall, TILES_8 } from "./matrix-tiles-8.ts";
import type { MatrixChoice, MatrixQuestion } from "./matrix-use.ts";
import { questionOf } from "./question.ts";
import { mostRegisters } from "./vendors.ts";
import { bestCut, MATRIX_OVERHEAD, mostCuts, type Cut } from "./waves.ts";

/**
 * Tiles by name, and the relative speed of each where there are enough of them. Measured are 275, 257, 204 and 181 TFLOP/s at 4096^3 on an
 * H100 (bench/results/GPU.md), of 128x256x32, 256x128x32, 128x128x16 and 128x64x32; the others are guesses. 192 divides the widths of DeiT;
 * 208 is the least multiple of 16 that holds its 197 or 198 tokens. Those of speed 0 have not been measured, and are only taken where a
 * tuning table names them.
 */
export const MATRIX_TILES = {
  "matrix-128x256x32": [matrixTile(128, 256, 32, 2, 4, "ahead"), 1],
  "matrix-256x128x32": [matrixTile(256, 128, 32, 4, 2, "ahead"), 0.93],
  "matrix-128x192x32": [matrixTile(128, 192, 32, 2, 4, "ahead"), 0.98],
  "matrix-192x128x32": [matrixTile(192, 128, 32, 4, 2, "ahead"), 0.91],
  "matrix-128x128x16": [matrixTile(128, 128, 16, 2, 2, "ahead"), 0.74],
  "matrix-128x64x32": [matrixTile(128, 64, 32, 2, 2, "ahead"), 0.66],
  "matrix-208x208x32": [matrixTile(208, 208, 32, 13, 1, "ahead"), 0.55],
  "matrix-208x64x32": [matrixTile(208, 64, 32, 13, 1, "ahead"), 0.44],
  "matrix-64x208x32": [matrixTile(64, 208, 32, 4, 1, "ahead"), 0.44],
  "matrix-64x64x64": [matrixTile(64, 64, 64, 2, 2, "ahead"), 0.5],
  "matrix-32x32x32": [matrixTile(32, 32, 32, 2, 2, "ahead"), 0.3],
  "matrix-128x256x16-double": [matrixTile(128, 256, 16, 2, 4, "double"), 0],
  "matrix-256x192x16": [matrixTile(256, 192, 16, 4, 4, "ahead"), 0],
  "matrix-128x128x32-double": [matrixTile(128, 128, 32, 2, 4, "double"), 0],
} as const satisfies Readonly<Record<string, readonly [MatrixTile, number]>>;
export type MatrixTileName = keyof typeof MATRIX_TILES;

/** Smallest side of a product that is worth a tile of matrices. */
const SMALLEST = 32;

/** The tile that a tuning table names for a product, else the one of least time with its best cut along K; null if none can make it. */
export function chooseMatrix(setup: MatrixSetup, question: MatrixQuestion): MatrixChoice | null {
  const { a, b, M, N, K, matrices, ab, c } = question;
  const word = wordOf(setup.shape);
  if (a.dtype !== setup.shape.input || b.dtype !== setup.shape.input || Math.min(M, N, K) < SMALLEST) return null;
  if (!ab.every((n) => n % word === 0) || !c.every((n) => n % 4 === 0)) return null;
  const tuned = chosen(questionOf("gemm.matrix", { B: matrices, M, N, K, ta: !question.aAlongK, tb: question.bAlongK }));
  let best: { readonly tile: MatrixTile; readonly cut: Cut } | null = null,
    least = Infinity;
  for (const [name, [tile, speed]] of Object.entries<readonly [MatrixTile, number]>(isSmall(setup.shape) ? TILES_8 : MATRIX_TILES)) {
    if ((speed === 0 && name !== tuned) || tileRefuses(setup, tile, question, getDevice())) continue;
    const tiles = Math.ceil(M / tile.bm) * Math.ceil(N / tile.bn) * matrices;
    const tiling = { bm: tile.bm, bn: tile.bn, tiles, elements: matrices * M * N, K, step: tile.bk, speed: speed || 1 };
    const { cost, ...cut } = bestCut(tiling, MATRIX_OVERHEAD, question.cuts ? mostCuts(tiling) : 1);
    if (name !== tuned && cost >= least) continue;
    best = { tile, cut };
    least = name === tuned ? -Infinity : cost;
  }
  return best && { ...best, kernel: (config) => matrixKernel({ ...setup, tile: best.tile, direct: false, ...config }) };
}

/** Why a tile cannot make products of such operands on this device, or null. */
export function tileRefuses(
  { shape, words, lanes }: MatrixSetup,
  tile: MatrixTile,
  { aAlongK, bAlongK, sums, direct = false }: Pick<MatrixQuestion, "aAlongK" | "bAlongK" | "sums"> & { readonly direct?: boolean },
  { limits, adapter }: Pick<Device, "limits" | "adapter">,
): string | null {
  if (!divides(shape, tile)) return `a tile of ${tile.bm}x${tile.bn}x${tile.bk} is not of whole ${shape.M}x${shape.N}x${shape.K} matrices`;
  const config = { shape, tile, aAlongK, bAlongK, words, direct, lanes };
  if (sums && sumThreads(config) === 0) return "its threads cannot sum op(A) along K";
  const [registers, most] = [registersOf({ shape, tile, lanes }, sums), mostRegisters(adapter.vendor)];
  if (registers > most) return `its threads take ${registers} registers, of ${most}`;
  const bytes = matrixBytes(config, sums);
  if (bytes > limits.maxComputeWorkgroupStorageSize)
    return `it takes ${bytes} bytes of workgroup memory, of ${limits.maxComputeWorkgroupStorageSize}`;
  if (tile.gm * tile.gn * lanes > limits.maxComputeInvocationsPerWorkgroup)
    return `it takes ${tile.gm * tile.gn * lanes} threads, of ${limits.maxComputeInvocationsPerWorkgroup}`;
  return null;
}

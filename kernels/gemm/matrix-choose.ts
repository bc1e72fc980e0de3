/** The tiles of products on tensor cores, and which of them suits a product. */
import { getDevice, type Device } from "../../engine/device.ts";
import { chosen } from "../shared/tuning.ts";
import { matrixKernel } from "./matrix-kernel.ts";
import { divides, matrixBytes, matrixTile, registersOf, sumThreads, wordOf, type MatrixSetup, type MatrixTile } from "./matrix-tile.ts";
import { isSmall, TILES_8 } from "./matrix-tiles-8.ts";
import type { Described, Gemm } from "./describe.ts";
import type { MatrixChoice } from "./matrix-use.ts";
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

/** Whether the ordinary kernels are to make a product: matrices have to be plain, and op(A) is summed only where A is transposed. */
const forbidden = ({ a, sums, dots, variant, custom }: Gemm, { along, maps }: Described): boolean =>
  [variant, custom, maps.a, maps.b, maps.c, a.scale, dots].some((it) => it !== undefined && it !== null) || (sums === true && along.a);

/** Whether operands are whole words, and the result whole fours: rows, distances and offsets. */
function isWhole(word: number, { a, b, M, N, K, rowBias, into }: Gemm, { along, ld, rows, offset, steps }: Described): boolean {
  const lengths = [a.padded ? 0 : along.a ? K : rows.a, b.padded ? 0 : along.b ? K : rows.b];
  const operands = [...lengths, a.tensor.size, b.tensor.size, ld.a, ld.b, offset.a, offset.b, ...steps.a, ...steps.b];
  const result = [N, ld.c, into?.at ?? 0, ...steps.c, ...(rowBias ? [M] : [])];
  return operands.every((n) => n % word === 0) && result.every((n) => n % 4 === 0);
}

/** The tile that a tuning table names for a product, else the one of least time with its best cut along K; null if none can make it. */
export function chooseMatrix(setup: MatrixSetup, g: Gemm, d: Described): MatrixChoice | null {
  const { a, b, M, N, K, out, softmax } = g,
    { matrices } = d;
  const { input } = setup.shape;
  if (forbidden(g, d) || a.tensor.dtype !== input || b.tensor.dtype !== input) return null;
  if (Math.min(M, N, K) < SMALLEST || !isWhole(wordOf(setup.shape), g, d)) return null;
  const operands = { aAlongK: d.along.a, bAlongK: d.along.b, sums: g.sums === true };
  const tuned = chosen(questionOf("gemm.matrix", { B: matrices, M, N, K, ta: !d.along.a, tb: d.along.b }));
  let best: { readonly tile: MatrixTile; readonly cut: Cut } | null = null,
    least = Infinity;
  for (const [name, [tile, speed]] of Object.entries<readonly [MatrixTile, number]>(isSmall(setup.shape) ? TILES_8 : MATRIX_TILES)) {
    if ((speed === 0 && name !== tuned) || tileRefuses(setup, tile, operands, getDevice())) continue;
    const tiles = Math.ceil(M / tile.bm) * Math.ceil(N / tile.bn) * matrices;
    const tiling = { bm: tile.bm, bn: tile.bn, tiles, elements: matrices * M * N, K, step: tile.bk, speed: speed || 1 };
    const { cost, ...cut } = bestCut(tiling, MATRIX_OVERHEAD, out || softmax ? 1 : mostCuts(tiling));
    if (name !== tuned && cost >= least) continue;
    best = { tile, cut };
    least = name === tuned ? -Infinity : cost;
  }
  return best && { ...best, kernel: (config) => matrixKernel({ ...setup, tile: best.tile, direct: false, ...config }) };
}

/** What a tile has to know of a product's operands. `direct`: matrices are stored straight into C. */
interface Operands {
  readonly aAlongK: boolean;
  readonly bAlongK: boolean;
  /** Whether op(A) is summed along K too. */
  readonly sums: boolean;
  readonly direct?: boolean;
}

/** Why a tile cannot make products of such operands on this device, or null. */
export function tileRefuses(
  { shape, words, lanes }: MatrixSetup,
  tile: MatrixTile,
  { aAlongK, bAlongK, sums, direct = false }: Operands,
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

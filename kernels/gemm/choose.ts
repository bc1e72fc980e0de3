/** Chooses a product's kernel: its tile, how the sum along K is cut, and the width of loads. */
import { numel } from "../../engine/shape.ts";
import { chosen } from "../shared/tuning.ts";
import { NO_SLOTS, type Tile } from "./config.ts";
import type { Described, Gemm, Operand } from "./describe.ts";
import { gemmKernel } from "./kernels.ts";
import { matrixChoice, type MatrixQuestion } from "./matrix-use.ts";
import { ENOUGH_TILES, isKind, isTile, onDevice, TILES, usualKind, usualTile } from "./tiles.ts";

export interface Choice {
  readonly kernel: ReturnType<typeof gemmKernel>;
  readonly tiles: readonly [number, number];
  /** Shares that the sum along K is cut into, and a share's length. */
  readonly splits: number;
  readonly chunk: number;
  /** Whether the product's kernel or a separate kernel sums op(A). */
  readonly sums: "own" | "apart" | null;
  /** Workgroups for the sums, after the product's. */
  readonly sumGroups: number;
}

export function choose(g: Gemm, d: Described): Choice {
  const { M, N, K, a, b } = g;
  const tile = tileOf(g, d.matrices);
  const matrix = forbidsTensorCores(g, d) ? null : matrixChoice(matrixQuestion(g, d));
  const [m, n, k] = matrix ? [matrix.tile.bm, matrix.tile.bn, matrix.tile.bk] : [tile.y * tile.tm, tile.x * tile.tn, tile.bk];
  const tiles = [Math.ceil(M / m), Math.ceil(N / n)] as const;
  const whole = { splits: 1, chunk: K };
  const { splits, chunk } = g.out ? whole : splitK(matrix ? "shared" : tile.kind, numel(tiles) * d.matrices, K, matrix ? k : 16);
  const sums = !d.slots.sums ? null : matrix ? "apart" : "own";
  const added = d.slots.dots || sums === "own";
  const config = {
    aAlongK: d.along.a,
    bAlongK: d.along.b,
    rank: d.batch.length,
    scaledK: d.scaledK,
    edge: M % m !== 0 || N % n !== 0 || a.rows !== undefined || b.rows !== undefined,
    tail: K % k !== 0 || chunk % k !== 0,
    // With several shares, the kernel that adds them applies the slots.
    slots: { ...(splits > 1 ? NO_SLOTS : d.slots), sums: sums === "own", dots: d.slots.dots },
  };
  return {
    kernel: matrix ? matrix.kernel(config) : gemmKernel({ tile, maps: d.maps, ...vectors(tile.kind, g, d), ...config }),
    tiles,
    splits,
    chunk,
    sums,
    sumGroups: added && !matrix && tile.kind === "register" ? splits * Math.ceil(M / (tile.x * tile.y)) : 0,
  };
}

/**
 * Vectors of four elements: positions must be multiples of four, and so must the length of a row.
 *
 *   matrix   forbidden by        what must be a multiple of four
 *   a, b     a map               between rows, a row's length unless padded, the offset, the tensor, between matrices
 *   c        a map, custom code  between rows, N, between matrices; M, if a bias goes by rows
 */
function vectors(kind: Tile["kind"], { a, b, M, N, K, custom, rowBias }: Gemm, { along, ld, rows, offset, steps, maps }: Described) {
  const fours = (sizes: readonly number[]) => sizes.every((size) => size % 4 === 0);
  const operand = (t: "a" | "b", { tensor, padded }: Operand) =>
    !maps[t] && fours([ld[t], padded ? 0 : along[t] ? K : rows[t], offset[t], tensor.size, ...steps[t]]);
  const c = !maps.c && !custom && fours([ld.c, N, ...steps.c, rowBias ? M : 0]);
  return {
    vec: c && (kind === "subgroup" || (kind === "shared" && operand("a", a) && operand("b", b))),
    vecB: c && kind === "subgroup" && !along.b && !b.padded && operand("b", b),
  };
}

/** Tensor cores need plain matrices; a separate kernel, which needs whole columns, then sums op(A). */
function forbidsTensorCores({ a, b, M, K, sums, dots, variant, custom }: Gemm, { along, ld, maps }: Described): boolean {
  const wholeColumns = !along.a && ld.a === M && a.tensor.size === K * M;
  return (
    [variant, custom, maps.a, maps.b, maps.c, a.rows, b.rows, a.scale, dots].some((it) => it !== undefined && it !== null) ||
    [a.padded, b.padded, sums && !wholeColumns].includes(true)
  );
}

const matrixQuestion = ({ a, b, M, N, K, rowBias }: Gemm, { along, ld, offset, steps, matrices }: Described): MatrixQuestion => ({
  a: a.tensor,
  b: b.tensor,
  M,
  N,
  K,
  aAlongK: along.a,
  bAlongK: along.b,
  matrices,
  ab: [ld.a, ld.b, offset.a, offset.b, ...steps.a, ...steps.b],
  c: [ld.c, ...steps.c, ...(rowBias ? [M] : [])],
});

/** The caller's tile, else the tuned one, else the default for the adapter and shape. */
function tileOf({ variant, a, b, out, M, N, K }: Gemm, matrices: number): Tile {
  if (typeof variant === "object") return onDevice(variant);
  const plain = !a.map && !b.map && !out?.map; // products that the tuner can measure
  const name =
    variant ?? (plain ? chosen(`gemm ${matrices}x${M}x${N}x${K} ${a.transposed ? "T" : "N"}${b.transposed ? "T" : "N"}`) : undefined);
  if (name !== undefined && isTile(name)) return onDevice(TILES[name]);
  return onDevice(
    usualTile(isKind(name) ? name : usualKind(), { M, N, matrices, cuts: out ? 1 : Math.max(1, Math.floor(K / SPLIT_LENGTH)) }),
  );
}

// Long sums with few tiles are cut along K; each share is at least this long.
const SPLIT_LENGTH = 256;

function splitK(kind: Tile["kind"], tiles: number, K: number, step: number): { splits: number; chunk: number } {
  const [enough, wanted] = kind === "shared" ? [ENOUGH_TILES, 2 * ENOUGH_TILES] : [4, 4];
  const splits = Math.min(Math.ceil(wanted / tiles), Math.floor(K / SPLIT_LENGTH));
  if (tiles >= enough || splits < 2) return { splits: 1, chunk: K };
  const chunk = Math.ceil(K / splits / step) * step;
  return { splits: Math.ceil(K / chunk), chunk };
}

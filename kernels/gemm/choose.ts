/** Chooses a product's kernel: its tile, how the sum along K is cut, and the width of loads. */
import { numel } from "../../engine/shape.ts";
import { chosen } from "../shared/tuning.ts";
import { NO_SLOTS, type Tile } from "./config.ts";
import type { Described, Gemm, Operand } from "./describe.ts";
import { gemmKernel } from "./kernels.ts";
import type { MatrixTile } from "./matrix-tile.ts";
import { matrixChoice } from "./matrix-use.ts";
import { questionOf } from "./question.ts";
import { ENOUGH_TILES, isKind, isTile, onDevice, TILES, usualKind, usualTile } from "./tiles.ts";
import { bestCut, cutInto, F32_OVERHEAD, knownCores, mostCuts, SHORTEST_SHARE, type Cut, type Tiling } from "./waves.ts";

export interface Choice {
  readonly kernel: ReturnType<typeof gemmKernel>;
  readonly tiles: readonly [number, number];
  /** Of C per workgroup. */
  readonly tile: Tile | MatrixTile;
  /** Shares that the sum along K is cut into, and a share's length. */
  readonly splits: number;
  readonly chunk: number;
  /** Workgroups for the sums, after the product's. */
  readonly sumGroups: number;
  /** The kernel multiplies A's rows by their samples' factors. */
  readonly samples: boolean;
}

export function choose(g: Gemm, d: Described): Choice {
  const { M, N, K, a, b } = g;
  const tile = tileOf(g, d.matrices);
  const matrix = matrixChoice(g, d);
  const [m, n, k] = matrix ? [matrix.tile.bm, matrix.tile.bn, matrix.tile.bk] : [tile.y * tile.tm, tile.x * tile.tn, tile.bk];
  const tiles = [Math.ceil(M / m), Math.ceil(N / n)] as const;
  const tiling = { bm: m, bn: n, tiles: numel(tiles) * d.matrices, elements: d.matrices * M * N, K, step: 16, speed: 1 };
  const { splits, chunk } = matrix?.cut ?? (g.out || g.softmax ? cutInto(1, tiling) : usualCut(tile.kind, tiling));
  const samples = a.samples !== undefined && !matrix && tile.kind === "shared";
  const config = {
    aAlongK: d.along.a,
    bAlongK: d.along.b,
    rank: d.batch.length,
    scaledK: d.scaledK,
    edge: M % m !== 0 || N % n !== 0 || a.rows !== undefined || b.rows !== undefined,
    tail: K % k !== 0 || chunk % k !== 0,
    // With several shares, the kernel that adds them applies the slots.
    slots: { ...(splits > 1 ? NO_SLOTS : d.slots), sums: d.slots.sums, dots: d.slots.dots },
  };
  return {
    kernel: matrix ? matrix.kernel(config) : gemmKernel({ tile, maps: d.maps, samples, ...vectors(tile.kind, g, d), ...config }),
    tiles,
    tile: matrix?.tile ?? tile,
    splits,
    chunk,
    samples,
    sumGroups: (d.slots.sums || d.slots.dots) && !matrix && tile.kind === "register" ? splits * Math.ceil(M / (tile.x * tile.y)) : 0,
  };
}

/**
 * Vectors of four elements: positions must be multiples of four, and so must the length of a row.
 *
 *   matrix   forbidden by        what must be a multiple of four
 *   a, b     a map               between rows, a row's length unless padded, the offset, the tensor, between matrices
 *   c        a map, custom code  between rows, N, between matrices; M, if a bias goes by rows
 *
 * `shared` kernels take maps and custom code that are made for fours.
 */
function vectors(kind: Tile["kind"], { a, b, M, N, K, custom, rowBias, into }: Gemm, { along, ld, rows, offset, steps, maps }: Described) {
  const fours = (sizes: readonly number[]) => sizes.every((size) => size % 4 === 0);
  const shared = kind === "shared";
  const operand = (t: "a" | "b", { tensor, padded }: Operand) =>
    (!maps[t] || (shared && maps[t].fours === true)) &&
    fours([ld[t], padded ? 0 : along[t] ? K : rows[t], offset[t], tensor.size, ...steps[t]]);
  const customToo = !custom || (shared && custom.fours !== undefined);
  const c = !maps.c && customToo && fours([ld.c, N, into?.at ?? 0, ...steps.c, rowBias ? M : 0]);
  return {
    vec: c && (kind === "subgroup" || (shared && operand("a", a) && operand("b", b))),
    vecB: c && kind === "subgroup" && !along.b && !b.padded && operand("b", b),
  };
}

/** The caller's tile, else the tuned one, else the default for the adapter and shape. */
function tileOf({ variant, a, b, out, M, N, K }: Gemm, matrices: number): Tile {
  if (typeof variant === "object") return onDevice(variant);
  const plain = !a.map && !b.map && !out?.map; // products that the tuner can measure
  const product = { B: matrices, M, N, K, ta: a.transposed === true, tb: b.transposed === true };
  const name = variant ?? (plain ? chosen(questionOf("gemm", product)) : undefined);
  if (name !== undefined && isTile(name)) return onDevice(TILES[name]);
  return onDevice(
    usualTile(isKind(name) ? name : usualKind(), { M, N, matrices, cuts: out ? 1 : Math.max(1, Math.floor(K / SHORTEST_SHARE)) }),
  );
}

// Workgroups of a cut product where the number of slots is not known: on 264 of them, six waves, of which the last is the only partial one.
const MANY_WORKGROUPS = 1500;
/** Shares of a product that is cut on a processor. */
const FEW_SHARES = 4;

/** How the ordinary kernels cut a sum along K. */
function usualCut(kind: Tile["kind"], t: Tiling): Cut {
  const most = mostCuts(t);
  if (kind !== "shared") return cutInto(t.tiles < FEW_SHARES ? Math.min(Math.ceil(FEW_SHARES / t.tiles), most) : 1, t);
  if (knownCores() !== null) return bestCut(t, F32_OVERHEAD, most);
  return cutInto(t.tiles < ENOUGH_TILES ? Math.min(Math.ceil(MANY_WORKGROUPS / t.tiles), most) : 1, t);
}

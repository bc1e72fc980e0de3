/**
 * Batched matrix products C = alpha op(A) op(B), then what the caller wants done to each element of C. Not an op itself.
 *
 * Operands are read where they lie, transposed or not, at any distance between rows and between batches (0 repeats one), or
 * where a map of their rows and columns says, so that nothing is copied to be multiplied.
 * Three kinds of kernel: `shared` stages tiles of A and B in workgroup memory, which is what GPUs run best; `subgroup` has its lanes pass
 * A around, which is what processors run best; `register` keeps a tile of C per thread and shares nothing, for processors whose
 * adapter has no subgroups.
 *
 * The tiles follow the plan of V. Volkov and J. Demmel 2008, "Benchmarking GPUs to tune dense linear algebra",
 * https://doi.org/10.1109/SC.2008.5214359
 */
import { chosen } from "../../engine/tuning.ts";
import { numel, type Shape } from "../../engine/shape.ts";
import type { DType, Tensor } from "../../engine/tensor.ts";
import type { AddressMap } from "../shared/address-map.ts";
import { columnSums } from "../shared/column-sums.ts";
import { NO_SLOTS, type Slots, type Tile } from "./config.ts";
import { gemmKernel, reduceKernel } from "./kernels.ts";
import { matrixChoice } from "./matrix-use.ts";
import { ENOUGH_TILES, isKind, isTile, laned, TILES, tilesOf, usualKind, usualTile, type GemmVariant } from "./tiles.ts";

/** A matrix, or a batch of them, inside a tensor. Distances are in elements. */
export interface Operand {
  readonly tensor: Tensor;
  /** Stored the other way round: a as (K, M), b as (N, K). */
  readonly transposed?: boolean;
  /** Between stored rows; the row's length unless given. */
  readonly ld?: number;
  /** Where op(A)'s or op(B)'s rows and columns lie, if not at even distances; `ld` is unused. Compiled in: a pipeline per text. */
  readonly map?: AddressMap;
  /** Between matrices, one per batch axis; 0 repeats. Dense unless given. */
  readonly batch?: readonly number[];
  /** Of the first element. */
  readonly offset?: number;
  /** So many rows of op(A), or columns of op(B), are there, where the product has more; the last one is repeated. */
  readonly rows?: number;
  /** Stored rows go on with zeros, or with what nobody reads, to a multiple of four. */
  readonly padded?: boolean;
}

/** What happens to each element before it is written, in this order. Tensors lie as the result does unless said. */
export interface Epilogue {
  /** (N): added. */
  readonly bias?: Tensor | undefined;
  /** (M): added, instead of `bias`. */
  readonly rowBias?: Tensor | undefined;
  /** Batch norm with fixed statistics, f32 each: (M) or (N), as `by` says. Then max(v, 0), if `relu`. */
  readonly norm?:
    | {
        readonly gain: Tensor;
        readonly shift: Tensor;
        readonly mean: Tensor;
        readonly variance: Tensor;
        readonly eps: number;
        readonly relu: boolean;
        readonly by: "m" | "n";
      }
    | undefined;
  /** Apply GELU; "keep" also returns what it was applied to. */
  readonly gelu?: boolean | "keep";
  /** Multiply by GELU'(this). */
  readonly geluGradOf?: Tensor | undefined;
  /** Multiply row m by element `at` + m / `rows` of these. */
  readonly factors?: { readonly tensor: Tensor; readonly at: number; readonly rows: number } | undefined;
  /** Added. */
  readonly residual?: Tensor | undefined;
  /** WGSL of the caller's own: changes `v` (f32) of row `m` and column `n`. */
  readonly custom?: { readonly code: string; readonly inputs: Readonly<Record<string, Tensor>> } | undefined;
}

export interface Gemm extends Epilogue {
  readonly a: Operand;
  readonly b: Operand;
  readonly M: number;
  readonly N: number;
  readonly K: number;
  /** Sizes of the batch axes, at most four. */
  readonly batch?: readonly number[];
  /** Of the result. */
  readonly shape: Shape;
  /** How the result (and what is kept) is stored; like `a` unless given. Sums are f32. */
  readonly store?: DType;
  /** Where the result's rows (or rows and columns) and matrices lie in it, if not densely one after the other. */
  readonly out?: { readonly ld?: number; readonly map?: AddressMap; readonly batch: readonly number[] };
  readonly alpha?: number;
  /** Also return (M): the sums of op(A) along K, a bias' gradient. Not in a batch. */
  readonly sums?: boolean;
  /** Chosen by adapter unless given. */
  readonly variant?: GemmVariant | Tile | undefined;
}

/** The caller's tile, or the one measured to be fastest here, or the one that suits such an adapter. */
function tileOf({ variant, a, b, out, M, N, K }: Gemm, matrices: number): Tile {
  if (typeof variant === "object") return laned(variant);
  const plain = !a.map && !b.map && !out?.map; // what the tuner can pose again
  const name =
    variant ?? (plain ? chosen(`gemm ${matrices}x${M}x${N}x${K} ${a.transposed ? "T" : "N"}${b.transposed ? "T" : "N"}`) : undefined);
  if (name !== undefined && isTile(name)) return laned(TILES[name]);
  return laned(usualTile(isKind(name) ? name : usualKind(), { M, N, matrices, cuts: out ? 1 : Math.max(1, Math.floor(K / SPLIT_LENGTH)) }));
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

export interface Product {
  readonly y: Tensor;
  /** What GELU was applied to, with `gelu: "keep"`. */
  readonly kept: Tensor | null;
  readonly sums: Tensor | null;
}

/** The product. No checks: callers know their shapes. */
export function gemm(g: Gemm): Product {
  const { a, b, M, N, K, batch = [], out, alpha = 1, custom } = g;
  if (batch.length > 4) throw new Error(`gemm: expected at most 4 batch axes, got ${batch.length}`);
  const aAlongK = !a.transposed,
    bAlongK = b.transposed === true;
  const lda = a.ld ?? (aAlongK ? K : M),
    ldb = b.ld ?? (bAlongK ? K : N),
    ldc = out?.ld ?? N;
  const matrices = numel(batch);
  const dense = (size: number) => batch.map((_, r) => size * numel(batch.slice(r + 1)));
  const steps = { a: a.batch ?? dense((a.rows ?? M) * K), b: b.batch ?? dense(K * (b.rows ?? N)), c: out?.batch ?? dense(M * N) };
  const tile = tileOf(g, matrices);
  const maps = { a: a.map ?? null, b: b.map ?? null, c: out?.map ?? null };
  // Tensor cores, where they were turned on; sums of op(A) then have a kernel of their own, which wants whole columns.
  const wholeColumns = !aAlongK && lda === M && a.tensor.size === K * M;
  const odd =
    maps.a ||
    maps.b ||
    maps.c ||
    custom ||
    a.rows !== undefined ||
    b.rows !== undefined ||
    a.padded ||
    b.padded ||
    (g.sums && !wholeColumns);
  const matrix =
    g.variant || odd
      ? null
      : matrixChoice({
          a: a.tensor,
          b: b.tensor,
          M,
          N,
          K,
          aAlongK,
          bAlongK,
          matrices,
          ab: [lda, ldb, a.offset ?? 0, b.offset ?? 0, ...steps.a, ...steps.b],
          c: [ldc, ...steps.c, ...(g.rowBias ? [M] : [])],
        });
  const [tilesM, tilesN] = matrix ? [Math.ceil(M / matrix.tile.bm), Math.ceil(N / matrix.tile.bn)] : tilesOf(tile, M, N);
  const { splits, chunk } = out
    ? { splits: 1, chunk: K }
    : splitK(matrix ? "shared" : tile.kind, tilesM * tilesN * matrices, K, matrix ? matrix.tile.bk : 16);
  const inFours = (...sizes: number[]) => sizes.every((n) => n % 4 === 0);
  const vecC = !maps.c && !custom && inFours(N, ldc, ...steps.c, ...(g.rowBias ? [M] : []));
  const vecB =
    tile.kind === "subgroup" && vecC && !maps.b && !bAlongK && inFours(ldb, b.rows ?? N, b.offset ?? 0, b.tensor.size, ...steps.b);
  const vec =
    tile.kind === "subgroup"
      ? vecC
      : tile.kind === "shared" &&
        vecC &&
        !maps.a &&
        !maps.b &&
        inFours(
          lda,
          ldb,
          a.padded ? 0 : aAlongK ? K : M,
          b.padded ? 0 : bAlongK ? K : N,
          a.offset ?? 0,
          b.offset ?? 0,
          a.tensor.size,
          b.tensor.size,
          ...steps.a,
          ...steps.b,
        );
  const slots: Slots = {
    bias: g.bias ? "n" : g.rowBias ? "m" : null,
    norm: g.norm ? { by: g.norm.by, eps: g.norm.eps, relu: g.norm.relu } : null,
    gelu: !!g.gelu,
    keep: g.gelu === "keep",
    geluGrad: !!g.geluGradOf,
    factors: !!g.factors,
    residual: !!g.residual,
    sums: !!g.sums && !matrix,
    custom: custom ? { code: custom.code, inputs: Object.keys(custom.inputs) } : null,
  };
  const bias = g.bias ?? g.rowBias;
  const extra = {
    ...(bias ? { bias } : {}),
    ...(g.norm ? { gain: g.norm.gain, shift: g.norm.shift, mean: g.norm.mean, variance: g.norm.variance } : {}),
    ...(g.geluGradOf ? { before: g.geluGradOf } : {}),
    ...(g.factors ? { factors: g.factors.tensor } : {}),
    ...(g.residual ? { residual: g.residual } : {}),
    ...custom?.inputs,
  };
  const extraParams: Record<string, number> = g.factors ? { factors_at: g.factors.at, factor_rows: g.factors.rows } : {};
  const outputs = { y: g.shape, ...(g.gelu === "keep" ? { kept: g.shape } : {}), ...(slots.sums ? { sums: [M] } : {}) };
  const columns = g.sums && matrix ? columnSums(a.tensor, M) : null;

  const y = g.store ?? a.tensor.dtype;
  const store = { y, ...(g.gelu === "keep" ? { kept: y } : {}) };

  const product = tilesM * tilesN * matrices * splits;
  const params: Record<string, number> = {
    M,
    N,
    K,
    a_rows: a.rows ?? M,
    b_rows: b.rows ?? N,
    lda,
    ldb,
    ldc,
    a_offset: a.offset ?? 0,
    b_offset: b.offset ?? 0,
    tiles_m: tilesM,
    tiles_n: tilesN,
    chunk,
    slab: matrices * M * N,
    product,
    alpha: splits > 1 ? 1 : alpha,
    ...(splits > 1 ? {} : extraParams),
  };
  batch.forEach((size, r) =>
    Object.assign(params, { [`size${r}`]: size, [`a_step${r}`]: steps.a[r], [`b_step${r}`]: steps.b[r], [`c_step${r}`]: steps.c[r] }),
  );
  const edge = ([m, n]: readonly [number, number]) => M % m !== 0 || N % n !== 0 || a.rows !== undefined || b.rows !== undefined;
  const tail = (bk: number) => K % bk !== 0 || chunk % bk !== 0;
  const own = splits > 1 ? { ...NO_SLOTS, sums: slots.sums } : slots;
  const launch = {
    inputs: { a: a.tensor, b: b.tensor, ...(splits > 1 ? {} : extra) },
    outputs: splits > 1 ? { y: [splits, matrices, M, N], ...(slots.sums ? { sums: [splits, M] } : {}) } : outputs,
    store: splits > 1 ? {} : store,
    params,
    groups: product + (slots.sums && tile.kind === "register" ? splits * Math.ceil(M / (tile.x * tile.y)) : 0),
  };
  const made = matrix
    ? matrix.kernel({
        aAlongK,
        bAlongK,
        rank: batch.length,
        edge: edge([matrix.tile.bm, matrix.tile.bn]),
        tail: tail(matrix.tile.bk),
        slots: own,
      })(launch)
    : gemmKernel({
        tile,
        aAlongK,
        bAlongK,
        maps,
        rank: batch.length,
        vec,
        vecB,
        edge: edge([tile.y * tile.tm, tile.x * tile.tn]),
        tail: tail(tile.bk),
        slots: own,
      })(launch);
  if (splits === 1) return { y: made["y"]!, kept: made["kept"] ?? null, sums: columns ?? made["sums"] ?? null };
  const count = matrices * M * N;
  const sum = reduceKernel(slots)({
    inputs: { parts: made["y"]!, ...extra, ...(slots.sums ? { sum_parts: made["sums"]! } : {}) },
    outputs,
    store,
    params: { count, splits, M, N, alpha, ...extraParams },
    threads: Math.max(count, M),
  });
  return { y: sum["y"]!, kept: sum["kept"] ?? null, sums: columns ?? sum["sums"] ?? null };
}

/** Describes a product: its operands' layout, and the operations on each element of the result. */
import { numel, type Shape } from "../../engine/shape.ts";
import type { DType, Tensor } from "../../engine/tensor.ts";
import type { Activation } from "../shared/activations.ts";
import type { AddressMap } from "../shared/address-map.ts";
import type { Sampled } from "../shared/sample-factors.ts";
import type { Config, Slots, Tile } from "./config.ts";
import type { GemmVariant } from "./tiles.ts";

/** A matrix, or a batch of them, inside a tensor. Distances are in elements. */
export interface Operand {
  readonly tensor: Tensor;
  /** Stored the other way round: a as (K, M), b as (N, K). */
  readonly transposed?: boolean;
  /** Distance between stored rows. Default: the row's length. */
  readonly ld?: number;
  /** Offsets of op(A)'s or op(B)'s rows and columns, if not at even distances; `ld` is then unused. Compiled in: one pipeline per text. */
  readonly map?: AddressMap;
  /** Distance between matrices, one per batch axis; 0 repeats a matrix. Default: dense. */
  readonly batch?: readonly number[];
  /** Index of the first element. */
  readonly offset?: number;
  /** Number of valid rows of op(A), or columns of op(B), where the product has more: reads beyond it repeat the last. */
  readonly rows?: number;
  /** Stored rows are padded to a multiple of four; the padding is zero or never read. */
  readonly padded?: boolean;
}

/** The first operand. */
export interface FirstOperand extends Operand {
  /** f32, as long as a stored row: every stored row is multiplied by it, element by element. Without a map or a batch. */
  readonly scale?: Tensor | undefined;
  /** Stored rows are multiplied by their sample's factor. Without a map or a batch. */
  readonly samples?: Sampled | undefined;
}

/** Weight, bias, mean and variance of a batch norm whose statistics are fixed. */
export interface FixedNorm {
  readonly weight: Tensor;
  readonly bias: Tensor;
  readonly mean: Tensor;
  readonly variance: Tensor;
  readonly eps: number;
}

/** Operations on each element before it is written, in this order. Tensors have the result's layout unless noted. */
export interface Epilogue {
  /** (N): added. */
  readonly bias?: Tensor | undefined;
  /** (M): added, instead of `bias`. */
  readonly rowBias?: Tensor | undefined;
  /** Batch norm with fixed statistics, f32 each: (M) or (N), as `by` says. */
  readonly norm?: (FixedNorm & { readonly by: "m" | "n" }) | undefined;
  readonly activation?: Activation | undefined;
  /** Also return the pre-activation. */
  readonly preActivation?: boolean;
  /** Multiply by an activation's derivative at these pre-activations: its backward. */
  readonly gradOf?: { readonly activation: Activation; readonly at: Tensor } | undefined;
  /** (N), f32: multiply by these. */
  readonly scale?: Tensor | undefined;
  /** Multiply row m by element `at` + m / `rows` of these. */
  readonly factors?: { readonly tensor: Tensor; readonly at: number; readonly rows: number } | undefined;
  /**
   * A softmax' gradient from its result's: of each row subtract one of `dots`, which are in the order of all matrices' rows, and multiply by
   * the softmax, `y`. Without `into`; the sum along K is not cut.
   */
  readonly softmax?: { readonly y: Tensor; readonly dots: Tensor } | undefined;
  /** Added. */
  readonly residual?: Tensor | undefined;
  /** The caller's WGSL, which changes `v` (f32) of row `m` and column `n`; `fours`: the same for `v` (vec4f) from column `n` on, of inputs in fours. */
  readonly custom?: { readonly code: string; readonly fours?: string; readonly inputs: Readonly<Record<string, Tensor>> } | undefined;
}

export interface Gemm extends Epilogue {
  readonly a: FirstOperand;
  readonly b: Operand;
  readonly M: number;
  readonly N: number;
  readonly K: number;
  /** Sizes of the batch axes, at most four. */
  readonly batch?: readonly number[];
  /** Of the result. */
  readonly shape: Shape;
  /** Type of the result and the pre-activation. Default: `a`'s type. Sums are f32. */
  readonly store?: DType;
  /** Offsets of the result's rows (or rows and columns) and matrices, if not dense. */
  readonly out?: { readonly ld?: number; readonly map?: AddressMap; readonly batch: readonly number[] };
  /** Where the result goes, from element `at` on, instead of a tensor of its own: the product's part of it. Needs `out`. */
  readonly into?: { readonly tensor: Tensor; readonly at: number } | undefined;
  readonly alpha?: number;
  /** Also return (M): the sums of op(A) along K, a bias' gradient. Not in a batch. */
  readonly sums?: boolean;
  /** Also return (M): sums along K of op(A), without its scale, times this tensor, which lies as A does. Needs A transposed and no batch. */
  readonly dots?: Tensor | undefined;
  /** Default: chosen for the adapter. */
  readonly variant?: GemmVariant | Tile | undefined;
}

/** A product with defaults filled in. */
export interface Described {
  readonly batch: readonly number[];
  /** Matrices in the batch. */
  readonly matrices: number;
  /** Whether each operand is contiguous along K. */
  readonly along: { readonly a: boolean; readonly b: boolean };
  /** Elements between stored rows, from the tensor's beginning to the first matrix, and from matrix to matrix. */
  readonly ld: { readonly a: number; readonly b: number; readonly c: number };
  readonly offset: { readonly a: number; readonly b: number };
  readonly steps: Readonly<Record<"a" | "b" | "c", readonly number[]>>;
  readonly rows: { readonly a: number; readonly b: number };
  readonly maps: Config["maps"];
  /** op(A) is scaled along K, where it is loaded. A scale along M is a slot's. */
  readonly scaledK: boolean;
  readonly slots: Slots;
  /** Buffers that the slots read. */
  readonly read: Readonly<Record<string, Tensor | null | undefined>>;
}

export function describe(g: Gemm): Described {
  const { a, b, out, M, N, K, norm, custom, batch = [] } = g;
  if (batch.length > 4) throw new Error(`gemm: expected at most 4 batch axes, got ${batch.length}`);
  const along = { a: !a.transposed, b: b.transposed === true };
  const rows = { a: a.rows ?? M, b: b.rows ?? N };
  const dense = (size: number) => batch.map((_, r) => size * numel(batch.slice(r + 1)));
  return {
    batch,
    matrices: numel(batch),
    along,
    rows,
    ld: { a: a.ld ?? (along.a ? K : M), b: b.ld ?? (along.b ? K : N), c: out?.ld ?? N },
    offset: { a: a.offset ?? 0, b: b.offset ?? 0 },
    steps: { a: a.batch ?? dense(rows.a * K), b: b.batch ?? dense(K * rows.b), c: out?.batch ?? dense(M * N) },
    maps: { a: a.map ?? null, b: b.map ?? null, c: out?.map ?? null },
    scaledK: !!a.scale && along.a,
    slots: {
      bias: g.bias ? "n" : g.rowBias ? "m" : null,
      norm: norm ? { by: norm.by, eps: norm.eps } : null,
      activation: g.activation ?? "none",
      preActivation: g.preActivation === true,
      gradOf: g.gradOf?.activation ?? "none",
      scale: g.scale ? "n" : a.scale && !along.a ? "m" : null,
      factors: !!g.factors,
      softmax: !!g.softmax,
      residual: !!g.residual,
      sums: !!g.sums,
      dots: !!g.dots,
      into: !!g.into,
      custom: custom ? { ...custom, inputs: Object.keys(custom.inputs) } : null,
    },
    read: {
      bias: g.bias ?? g.rowBias,
      norm_weight: norm?.weight,
      norm_bias: norm?.bias,
      mean: norm?.mean,
      variance: norm?.variance,
      grad_at: g.gradOf?.at,
      scale: g.scale ?? a.scale,
      factors: g.factors?.tensor,
      softmax: g.softmax?.y,
      dots_of_rows: g.softmax?.dots,
      residual: g.residual,
      ...custom?.inputs,
    },
  };
}

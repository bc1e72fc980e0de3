/** Configuration of `gemm.ts`'s kernels: a tile, the operands' layout, and the operations on each element of C. */
import type { Activation } from "../shared/activations.ts";
import type { AddressMap } from "../shared/address-map.ts";
import { range } from "../shared/unroll.ts";

export interface Tile {
  readonly kind: "register" | "subgroup" | "shared";
  /** Threads along N, of `subgroup` those of the adapter's smallest subgroup; and along M. */
  readonly x: number;
  readonly y: number;
  /** Elements of C per thread along M and N. */
  readonly tm: number;
  readonly tn: number;
  /** K per step; 1 but for `shared`. */
  readonly bk: number;
  /** Shared only: order of loads and products, see shared.ts. Default: `plain`. */
  readonly flow?: Flow;
}

export type Flow = "plain" | "ahead" | "double";

export interface Slots {
  /** Whether the bias is per row or per column. */
  readonly bias: "m" | "n" | null;
  /** A batch norm with fixed statistics by one of an element's indices. */
  readonly norm: { readonly by: "m" | "n"; readonly eps: number } | null;
  readonly activation: Activation;
  /** Also write the pre-activation. */
  readonly preActivation: boolean;
  /** Multiply by this activation's derivative. */
  readonly gradOf: Activation;
  /** Which of an element's indices its scale goes by. */
  readonly scale: "m" | "n" | null;
  readonly factors: boolean;
  /** A softmax' gradient. */
  readonly softmax: boolean;
  readonly residual: boolean;
  /** Also the sums of op(A) along K, and those of op(A) times another matrix. */
  readonly sums: boolean;
  readonly dots: boolean;
  /** C goes into a tensor that is there already, from element `c_offset` on. */
  readonly into: boolean;
  /** The caller's WGSL for the last step, of an element and of four, and the names of the buffers that it reads. */
  readonly custom: { readonly code: string; readonly fours?: string; readonly inputs: readonly string[] } | null;
}

export const NO_SLOTS: Slots = {
  bias: null,
  norm: null,
  activation: "none",
  preActivation: false,
  gradOf: "none",
  scale: null,
  factors: false,
  softmax: false,
  residual: false,
  sums: false,
  dots: false,
  into: false,
  custom: null,
};

/** Whether nothing follows a product but its sums of op(A). */
export const isPlain = (slots: Slots): boolean =>
  (Object.keys(NO_SLOTS) as (keyof Slots)[]).every((name) => name === "sums" || slots[name] === NO_SLOTS[name]);

export interface Config {
  readonly tile: Tile;
  /** Whether each operand is contiguous along K. */
  readonly aAlongK: boolean;
  readonly bAlongK: boolean;
  readonly maps: { readonly a: AddressMap | null; readonly b: AddressMap | null; readonly c: AddressMap | null };
  readonly rank: number;
  /** op(A) is multiplied by `scale[k]` where it is loaded. */
  readonly scaledK: boolean;
  /** Stored rows of A are multiplied by their sample's factor where they are loaded (shared only). */
  readonly samples: boolean;
  /** Four elements per load and store; of `subgroup` tiles: per store, and per load of what is added. */
  readonly vec: boolean;
  /** Four elements per load of B too (subgroup only). */
  readonly vecB: boolean;
  /** M or N, and K, are no multiples of the tile. */
  readonly edge: boolean;
  readonly tail: boolean;
  readonly slots: Slots;
}

/** WGSL of the offsets of row `i` (along M or N) and of column `i` (along K) of operand `t`, from its matrix's first element. */
export function placeOf(t: "a" | "b", { aAlongK, bAlongK, maps }: Config): { row: (i: string) => string; along: (i: string) => string } {
  const alongK = t === "a" ? aAlongK : bAlongK;
  const map = maps[t];
  const through = (text: string) => (i: string) => `(${text.replace(/\bi\b/g, `(${i})`)})`;
  if (map) return { row: through(t === "a" ? map.row : map.col), along: through(t === "a" ? map.col : map.row) };
  const [near, far] = [(i: string) => i, (i: string) => `${i} * p.ld${t}`];
  return alongK ? { row: far, along: near } : { row: near, along: far };
}

/** What a sum of row `m` of op(A) is multiplied by when it is written. */
export const scaledSum = ({ scale }: Slots, m: string): string => (scale === "m" ? ` * scale[${m}]` : "");

/** WGSL for the sums of op(A) along K that a product makes, and for those of op(A) times another matrix. */
export const rowSums = ({ sums, dots }: Slots, ofSums: string, ofDots: string): string => (sums ? ofSums : "") + (dots ? ` ${ofDots}` : "");

/**
 * WGSL of which tile a workgroup has: `tile_m`, `tile_n`, the batch axes' `i0` and on, `rest` (its part of a sum that is cut), from `k0`
 * to `k1`, and where matrices begin.
 */
export function tileWgsl(rank: number, into: boolean): string {
  const base = (t: "a" | "b" | "c", from: string) =>
    `let ${t}_base = ${[from, ...range(rank).map((r) => `i${r} * p.${t}_step${r}`)].join(" + ")};`;
  return /* wgsl */ `
    let tile_n = group % p.tiles_n;
    let tile_m = group / p.tiles_n % p.tiles_m;
    var rest = group / p.tiles_n / p.tiles_m;
    ${range(rank)
      .reverse()
      .map((r) => `let i${r} = rest % p.size${r}; rest /= p.size${r};`)
      .join(" ")}
    let k0 = rest * p.chunk;
    let k1 = min(k0 + p.chunk, p.K);
    ${base("a", "p.a_offset")} ${base("b", "p.b_offset")} ${base("c", into ? "p.c_offset" : "rest * p.slab")}`;
}

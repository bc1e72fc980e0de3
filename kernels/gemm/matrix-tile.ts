/** Tiles of subgroup matrices, and how their slabs lie in workgroup memory. */
import type { Slots } from "./config.ts";

/** A subgroup's matrix product: (M, K) by (K, N), summed in f32. */
export interface MatrixShape {
  readonly M: number;
  readonly N: number;
  readonly K: number;
  readonly input: "f16" | "f32";
}

export interface MatrixTile {
  /** Of C per workgroup, and along K per step. */
  readonly bm: number;
  readonly bn: number;
  readonly bk: number;
  /** Subgroups along M and N. */
  readonly gm: number;
  readonly gn: number;
  /**
   * How the next slab gets into workgroup memory. `plain`: before it is multiplied; `ahead`: it is read into registers while the one
   * before is multiplied; `double`: and written beside that one, with one barrier a step instead of two.
   */
  readonly staging: "plain" | "ahead" | "double";
}

export const matrixTile = (bm: number, bn: number, bk: number, gm: number, gn: number, staging: MatrixTile["staging"]): MatrixTile => ({
  bm,
  bn,
  bk,
  gm,
  gn,
  staging,
});

/**
 * Forms of the load and the store. `majorness`: `subgroupMatrixLoad<T, row_major>(array, at, stride)`, which counts in the array's
 * elements, whatever they are; `boolean`: `subgroupMatrixLoad<T>(array, at, false, stride)`, of scalars only.
 */
export type MatrixSyntax = "majorness" | "boolean";

/** How a device multiplies subgroup matrices. */
export interface MatrixSetup {
  readonly shape: MatrixShape;
  readonly syntax: MatrixSyntax;
  /** Workgroup memory in words of 16 bytes instead of scalars. Needs `majorness`. */
  readonly words: boolean;
  /** Threads of a subgroup; `sized` where the kernel has to say so. */
  readonly lanes: number;
  readonly sized: boolean;
}

export interface MatrixConfig extends MatrixSetup {
  readonly tile: MatrixTile;
  readonly aAlongK: boolean;
  readonly bAlongK: boolean;
  readonly rank: number;
  /** M or N, and K or a share of it, are no multiples of the tile. */
  readonly edge: boolean;
  readonly tail: boolean;
  /** Matrices are stored where they belong, with nothing done to them: no edge, no slots, alpha 1, an f32 result. */
  readonly direct: boolean;
  readonly slots: Slots;
}

/** Elements per load of 16 bytes. */
export const wordOf = ({ input }: MatrixShape): number => (input === "f16" ? 8 : 4);

/**
 * An operand's slab, in words: a part of its own for each subgroup's rows of A or columns of B, lines as they lie in memory, each a word
 * longer than it is, against bank conflicts. Parts are arrays in an array so that every load within one is at a constant: otherwise Tint
 * checks each load's bounds (some 12 instructions), and its stride is no constant either.
 */
export function slabOf(t: "a" | "b", { shape, tile, aAlongK, bAlongK }: Pick<MatrixConfig, "shape" | "tile" | "aAlongK" | "bAlongK">) {
  const word = wordOf(shape),
    alongK = t === "a" ? aAlongK : bAlongK;
  const rows = t === "a" ? tile.bm : tile.bn,
    parts = t === "a" ? tile.gm : tile.gn,
    own = rows / parts;
  const per = (alongK ? tile.bk : rows) / word; // of a line in memory
  const pitch = (alongK ? tile.bk : own) / word + 1;
  return { alongK, rows, own, parts, per, pitch, part: (alongK ? own : tile.bk) * pitch, loads: (rows * tile.bk) / word };
}

type Slabs = Pick<MatrixConfig, "shape" | "tile" | "aAlongK" | "bAlongK" | "words">;

/** A part of C as a subgroup hands it over: `count` matrices side by side, and the floats between its rows. */
const patchOfMatrices = ({ shape }: Slabs, count: number) => {
  const cols = count * shape.N;
  return { cols, pitch: cols + 4, floats: shape.M * (cols + 4) };
};

/** Which slab has a part for each subgroup's patch, if one has. */
function slabFor(c: Slabs, { floats }: { readonly floats: number }): "a" | "b" | null {
  const fits = (t: "a" | "b") => {
    const s = slabOf(t, c);
    return s.parts * slabsOf(c.tile) >= c.tile.gm * c.tile.gn && s.part >= floats / 4;
  };
  return !c.words ? null : fits("a") ? "a" : fits("b") ? "b" : null;
}

/**
 * Columns of C that a subgroup hands over at once: as many whole matrices as go into 32, or fewer if then they fit into a slab.
 */
export function patchOf(c: Slabs): { readonly cols: number; readonly pitch: number; readonly floats: number } {
  const matrices = c.tile.bn / c.tile.gn / c.shape.N;
  const counts = Array.from({ length: Math.max(1, Math.floor(32 / c.shape.N)) }, (_, i) => i + 1).filter((n) => matrices % n === 0);
  const patches = counts.toReversed().map((count) => patchOfMatrices(c, count));
  return patches.find((patch) => slabFor(c, patch) !== null) ?? patches[0]!;
}

/**
 * Sums of op(A) along K beside the product, where A is stored transposed: a thread loads the same columns of A in every round, adds them up
 * in its registers, and at the end the workgroup adds up the threads of each column. How many threads a column has; 0 where the tile's
 * loads do not come out that way.
 */
export function sumThreads(c: Pick<MatrixConfig, "shape" | "tile" | "aAlongK" | "bAlongK" | "lanes">): number {
  const { alongK, per } = slabOf("a", c),
    threads = c.tile.gm * c.tile.gn * c.lanes;
  return !alongK && threads % per === 0 ? threads / per : 0;
}

/** Words of f32 in which threads hand over their sums: two for eight columns of f16, one for four of f32. */
const sumWords = ({ shape, tile, lanes }: Pick<MatrixConfig, "shape" | "tile" | "lanes">): number =>
  (tile.gm * tile.gn * lanes * wordOf(shape)) / 4;

/** Where threads hand over their sums of op(A): in A's slab if it is large enough, else in separate memory. */
export function sumsIn(c: Pick<MatrixConfig, "shape" | "tile" | "aAlongK" | "bAlongK" | "words" | "lanes">): "a" | "own" {
  const { part, parts } = slabOf("a", c);
  return c.words && part * parts * slabsOf(c.tile) >= sumWords(c) ? "a" : "own";
}

/**
 * 32-bit registers of a thread without addresses, about: its elements of C, a step's matrices of A and B, of which two threads hold each
 * element (so AMD's RDNA 3), the next slab's loads, and sums of op(A).
 */
export function registersOf({ shape, tile, lanes }: Pick<MatrixConfig, "shape" | "tile" | "lanes">, sums = false): number {
  const { bm, bn, bk, gm, gn, staging } = tile,
    threads = gm * gn * lanes;
  const perRegister = shape.input === "f16" ? 2 : 1;
  const operands = (2 * shape.K * (bm / gm + bn / gn)) / (lanes * perRegister);
  const loads = staging === "plain" ? 0 : 4 * Math.ceil(((bm + bn) * bk) / (threads * wordOf(shape)));
  return (bm * bn) / threads + operands + loads + (sums ? wordOf(shape) : 0);
}

export const slabsOf = ({ staging }: MatrixTile): number => (staging === "double" ? 2 : 1);

/** Where subgroups hand over C: in parts of a slab if there are enough large ones, else in separate memory. */
export const handOverIn = (c: Slabs): "a" | "b" | "own" => slabFor(c, patchOf(c)) ?? "own";

type Bytes = Pick<MatrixConfig, "shape" | "tile" | "aAlongK" | "bAlongK" | "words" | "direct" | "lanes">;

/** Bytes of workgroup memory of a kernel; `sums`: one that also sums op(A). */
export function matrixBytes(c: Bytes, sums = false): number {
  const slabs = (["a", "b"] as const)
    .map((t) => slabOf(t, c))
    .reduce((sum, { parts, part }) => sum + 16 * slabsOf(c.tile) * parts * part, 0);
  const patches = c.direct || handOverIn(c) !== "own" ? 0 : 4 * c.tile.gm * c.tile.gn * patchOf(c).floats;
  return slabs + patches + (sums && sumsIn(c) === "own" ? 16 * sumWords(c) : 0);
}

/** Whether the tile is made of whole matrices and whole words. */
export function divides({ M, N, K, input }: MatrixShape, { bm, bn, bk, gm, gn }: MatrixTile): boolean {
  const word = wordOf({ M, N, K, input });
  return bm % (gm * M) === 0 && bn % (gn * N) === 0 && bk % K === 0 && [M, N, K].every((n) => n % word === 0);
}

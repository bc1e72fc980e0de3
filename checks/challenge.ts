/**
 * A challenge: something to compute, the shipped kernels that are to be beaten, and a plain start that is right and slow. Each file of
 * checks/challenges exports one; challenges.ts finds them.
 *
 * Shapes are written with letters, "[rows,D]", as in op.ts. An entry is judged on sizes and values that are drawn when it is judged.
 */
import type { Tensor } from "../engine/tensor.ts";

/** Sizes by letter. */
export type Letters = Readonly<Record<string, number>>;

/** "rows 788, D 192" */
export const sizesText = (n: Letters): string =>
  Object.entries(n)
    .map(([letter, size]) => `${letter} ${size}`)
    .join(", ");

/** Values by the buffer's name. */
export type Arrays = Readonly<Record<string, Float64Array>>;
export type Tensors = Readonly<Record<string, Tensor>>;

/** Least, most, and what a size must be a multiple of (1 unless given). */
export type Range = readonly [least: number, most: number, step?: number];

export interface Challenge {
  readonly title: string;
  /** What is to be computed. */
  readonly formula: string;
  /** What makes the start slow, and the first thing to try. */
  readonly hint: string;
  /** The operation of the catalog whose kernels are to be beaten. */
  readonly op: string;
  /** f32, by name: "[rows,D]". */
  readonly inputs: Readonly<Record<string, string>>;
  readonly outputs: Readonly<Record<string, string>>;
  /** Numbers that an entry reads beside the letters, as `p.eps`. */
  readonly constants?: Letters;
  /** The size that everybody knows. */
  readonly published: { readonly software: Letters; readonly gpu: Letters };
  /** Where the sizes come from that are drawn when an entry is judged. */
  readonly hidden: Readonly<Record<string, Range>>;
  /** The start: WGSL, as jobs/lab/challenges/entry.ts reads it. */
  readonly start: string;
  /** An input's value from one in [-1, 1); the same unless given. */
  readonly values?: Readonly<Record<string, (u: number) => number>>;
  /** Harder values, on one of the drawn sizes: large ones, or far from zero. */
  readonly stretched?: Readonly<Record<string, (u: number) => number>>;
  /** Inputs that follow from the others, as a forward leaves them for its backward. */
  derive?(given: Arrays, n: Letters): Arrays;
  /** The outputs in f64, by name. */
  reference(inputs: Arrays, n: Letters): Readonly<Record<string, ArrayLike<number>>>;
  /** Largest error of an output, relative to its largest value: 1e-4 unless given. */
  readonly tolerance?: number;
  /** Does what comes before, such as a forward. The function that it returns launches the kernels that are to be beaten. */
  shipped(inputs: Tensors, n: Letters): () => Tensors;
}

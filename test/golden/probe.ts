/**
 * Tensors written down as a few numbers: their norm, and their products with eight vectors of signs from a hash (family.py does the same).
 * The differences of such products say how large the difference of the tensors is, wherever it sits: over the choice of signs, their mean
 * square is the squared norm of the difference.
 */
import type { Values } from "../../checks/check.ts";
import { hash } from "./fill.ts";

const PROBE_K = 100_000, PROBES = 8;

/** [norm, products...]. Bit 31 - j of element i's hash says the sign of vector j. In f64. */
export function probe(values: Values): number[] {
  const products = new Float64Array(PROBES);
  let squares = 0;
  for (let i = 0; i < values.length; i++) {
    const v = values[i]!;
    const bits = hash(i, PROBE_K);
    squares += v * v;
    for (let j = 0; j < PROBES; j++) products[j]! += bits & (1 << (31 - j)) ? v : -v;
  }
  return [Math.sqrt(squares), ...products];
}

/** The difference from a recorded tensor as a share of the recorded norm: the larger of the norms' difference and of what the products say. */
export function distance(values: Values, recorded: readonly number[]): number {
  const [norm, ...products] = probe(values);
  const [expected, ...recordedProducts] = recorded;
  const meanSquare = recordedProducts.reduce((sum, v, j) => sum + (products[j]! - v) ** 2, 0) / PROBES;
  return Math.max(Math.abs(norm! - expected!), Math.sqrt(meanSquare)) / expected!;
}

/** Draws from Beta distributions. */
import type { Random } from "../../kernels/shared/random.ts";

/** Beta(a, b), as X / (X + Y) of two gamma draws; by their logarithms where both are 0 or their sum is infinite. */
export function beta(random: Random, a: number, b: number): number {
  const [x, y] = [gamma(random, a), gamma(random, b)];
  const sum = x.value + y.value;
  return sum > 0 && sum < Infinity ? x.value / sum : 1 / (1 + Math.exp(y.log - x.log));
}

/** A draw from Gamma(shape, 1) and its logarithm, which stays finite where the draw of a small shape is 0 in f64. */
function gamma(random: Random, shape: number): { readonly value: number; readonly log: number } {
  if (!(shape > 0)) throw new Error(`beta: expected parameters above 0, got ${shape}`);
  if (shape >= 1) {
    const value = gammaFrom1(random, shape);
    return { value, log: Math.log(value) };
  }
  const value = gammaFrom1(random, shape + 1);
  const u = positive(random);
  return { value: value * u ** (1 / shape), log: Math.log(value) + Math.log(u) / shape };
}

/** Gamma(shape, 1) of a shape from 1 on. Marsaglia and Tsang 2000, https://doi.org/10.1145/358407.358414 */
function gammaFrom1(random: Random, shape: number): number {
  const d = shape - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const x = random.normal();
    const v = (1 + c * x) ** 3;
    if (v <= 0) continue;
    if (Math.log(positive(random)) < 0.5 * x * x + d - d * v + d * Math.log(v)) return d * v;
  }
}

/** In (0, 1]: its logarithm is finite. */
const positive = (random: Random): number => (random.u32() + 1) / 2 ** 32;

/** Elementwise ops and sums in plain f64 loops. */
import { numel, type Shape } from "../../engine/shape.ts";
import { broadcastShapes, broadcastStrides, strides } from "../../kernels/shared/axes.ts";

/** x * Phi(x). */
export const geluReference = (x: Float64Array): Float64Array => x.map((v) => v * normalDistribution(v));

/** Phi(x) by a series whose terms have one sign (Abramowitz and Stegun 26.2.11). */
function normalDistribution(x: number): number {
  if (Math.abs(x) > 30) return x > 0 ? 1 : 0;
  let term = x,
    sum = x;
  for (let n = 3; Math.abs(term) > 1e-17 * Math.abs(sum); n += 2) sum += term *= (x * x) / n;
  return 0.5 + (sum * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI);
}

export const broadcast =
  (a: Shape, b: Shape, f: (x: number, y: number) => number) =>
  (x: Float64Array, y: Float64Array): Float64Array => {
    const shape = broadcastShapes("reference", a, b);
    const [own, sa, sb] = [strides(shape), broadcastStrides(a, shape), broadcastStrides(b, shape)];
    return Float64Array.from({ length: numel(shape) }, (_, i) => {
      const at = (s: readonly number[]) => shape.reduce((sum, size, k) => sum + (Math.floor(i / own[k]!) % size) * s[k]!, 0);
      return f(x[at(sa)]!, y[at(sb)]!);
    });
  };

export const sumAxis =
  (shape: Shape, axis: number) =>
  (x: Float64Array): Float64Array => {
    const inner = numel(shape.slice(axis + 1));
    const len = shape[axis]!;
    const y = new Float64Array(x.length / len);
    x.forEach((v, i) => {
      y[Math.floor(i / (inner * len)) * inner + (i % inner)]! += v;
    });
    return y;
  };

/** Elementwise ops and sums in plain f64 loops. */
import { broadcastShapes, broadcastStrides, numel, strides, type Shape } from "../../engine/shape.ts";

/** x * Phi(x), Phi by Simpson's rule: slow, and right to 1e-12. */
export const geluReference = (x: Float64Array): Float64Array =>
  x.map((v) => v * (0.5 + simpson((t) => Math.exp((-t * t) / 2) / Math.sqrt(2 * Math.PI), v)));

function simpson(f: (t: number) => number, to: number, steps = 400): number {
  const h = to / steps;
  let s = f(0) + f(to);
  for (let i = 1; i < steps; i++) s += f(i * h) * (i % 2 ? 4 : 2);
  return (s * h) / 3;
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

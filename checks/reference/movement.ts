/** Moves of values in plain loops over indices. */
import { numel, type Shape } from "../../engine/shape.ts";
import { broadcastStrides, strides } from "../../kernels/shared/axes.ts";

/** y of `shape`, whose element at indices i is x[at(i)]. */
export function read(shape: Shape, at: (indices: readonly number[]) => number) {
  const own = strides(shape);
  return (x: Float64Array): Float64Array =>
    Float64Array.from({ length: numel(shape) }, (_, i) => x[at(shape.map((d, k) => Math.floor(i / own[k]!) % d))]!);
}

const offset = (indices: readonly number[], steps: readonly number[]): number => indices.reduce((sum, i, k) => sum + i * steps[k]!, 0);

export const permuteReference = (shape: Shape, axes: readonly number[]) =>
  read(
    axes.map((a) => shape[a]!),
    (i) =>
      offset(
        shape.map((_, a) => i[axes.indexOf(a)]!),
        strides(shape),
      ),
  );

export const sliceReference = (shape: Shape, axis: number, start: number, end: number) =>
  read(shape.with(axis, end - start), (i) => offset(i.with(axis, i[axis]! + start), strides(shape)));

export const expandReference = (shape: Shape, to: Shape) => read(to, (i) => offset(i, broadcastStrides(shape, to)));

export function concatReference(shapes: readonly Shape[], axis: number) {
  const inner = shapes.map((s) => numel(s.slice(axis)));
  const outer = numel(shapes[0]!.slice(0, axis));
  return (...parts: Float64Array[]): Float64Array =>
    Float64Array.from(
      Array.from({ length: outer }, (_, o) => parts.flatMap((p, k) => [...p.subarray(o * inner[k]!, (o + 1) * inner[k]!)])).flat(),
    );
}

/** Axes by number, places in row-major order, and NumPy's broadcasting. */
import { show, type Shape } from "../../engine/shape.ts";

/** `axis` counted from the front; negative ones count from the back. */
export function normalizeAxis(what: string, axis: number, rank: number): number {
  const a = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(a) || a < 0 || a >= rank) throw new Error(`${what}: expected an axis in [${-rank}, ${rank - 1}], got ${axis}`);
  return a;
}

/** Row-major strides in elements. */
export function strides(shape: Shape): number[] {
  const s = new Array<number>(shape.length);
  for (let i = shape.length - 1, n = 1; i >= 0; i--) {
    s[i] = n;
    n *= shape[i]!;
  }
  return s;
}

/** An element's index in each axis, from its place in row-major order. */
export function indexIn(shape: Shape, flat: number): number[] {
  const index: number[] = [];
  let rest = flat;
  for (const size of [...shape].reverse()) {
    index.unshift(rest % size);
    rest = Math.floor(rest / size);
  }
  return index;
}

/** NumPy's broadcast of two shapes. */
export function broadcastShapes(what: string, a: Shape, b: Shape): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const x = a[i - rank + a.length] ?? 1;
    const y = b[i - rank + b.length] ?? 1;
    if (x !== y && x !== 1 && y !== 1) throw new Error(`${what}: expected shapes that broadcast, got ${show(a)} and ${show(b)}`);
    return Math.max(x, y);
  });
}

/** Strides (elements) that read `shape` as if it were broadcast to `to`: 0 along repeated axes. */
export function broadcastStrides(shape: Shape, to: Shape): number[] {
  const own = strides(shape);
  return to.map((_, i) => {
    const k = i - to.length + shape.length;
    return k < 0 || shape[k] === 1 ? 0 : own[k]!;
  });
}

/**
 * An array's axes without those of length 1, where neighbours that each operand walks through with one stride are merged. `strides`: of each
 * operand by axis. `steps`: of each operand along a merged axis.
 */
export function mergedAxes(
  shape: Shape,
  ...strides: readonly (readonly number[])[]
): { readonly size: number; readonly steps: number[] }[] {
  const axes: { size: number; steps: number[] }[] = [];
  shape.forEach((size, i) => {
    if (size === 1) return;
    const steps = strides.map((own) => own[i]!);
    const outer = axes.at(-1);
    if (outer?.steps.every((step, k) => step === steps[k]! * size)) Object.assign(outer, { size: outer.size * size, steps });
    else axes.push({ size, steps });
  });
  return axes.length > 0 ? axes : [{ size: 1, steps: strides.map(() => 1) }];
}

/**
 * Ops that move values without computing: reshape, permute, slice, concat, expand.
 *
 * permute, slice and expand are one kernel: each element of y reads x at an offset plus its own indices times strides.
 *
 *   permute: y[i] = x[permuted i]          dx = dy permuted back
 *   slice:   y = x[start..end)             dx = dy with zeros around it
 *   concat:  y = a, then b, then ...       da, db, ... = the slices of dy
 *   expand:  y = x repeated                dx = sum of dy over the repeats
 *   reshape: y = x, a view: no launch      dx = dy
 *
 * A result with all of x in its order is a view too.
 */
import { defineOp } from "../engine/autograd.ts";
import { defineKernel, kernelFamily, type Elem } from "../engine/kernel.ts";
import { numel, sameShape, show, type Shape } from "../engine/shape.ts";
import { amongZeros } from "./shared/among-zeros.ts";
import { broadcastShapes, broadcastStrides, mergedAxes, normalizeAxis, strides } from "./shared/axes.ts";
import type { Tensor } from "../engine/tensor.ts";
import { sumTo } from "./shared/reduce.ts";
import { range } from "./shared/unroll.ts";
import { typeOf, widthFor } from "./shared/width.ts";

const WG = 64;
const MAX_INPUTS = 7; // with the output 8 storage buffers, which every WebGPU adapter allows

// One thread per element of y. `steps` are the strides of x for each axis of y; the outermost axis needs no size.
const gatherKernel = kernelFamily(({ elem, sizes, steps }: { elem: Elem; sizes: readonly number[]; steps: readonly number[] }) =>
  defineKernel({
    name: "layout.gather",
    inputs: { x: elem },
    outputs: { y: elem },
    params: { n: "u32", offset: "u32" },
    workgroup: WG,
    code: [
      "let i = group * WG + li;",
      "if (i < p.n) { var rest = i; var at = p.offset;",
      ...range(sizes.length)
        .reverse()
        .map((k) => (k === 0 ? `  at += rest * ${steps[0]}u;` : `  at += (rest % ${sizes[k]}u) * ${steps[k]}u; rest /= ${sizes[k]}u;`)),
      "  y[i] = x[at];",
      "}",
    ].join("\n"),
  }),
);

/** y of `shape`, whose element at indices i is x[offset + sum of i * steps]. */
function gather(x: Tensor, shape: Shape, steps: readonly number[], offset = 0): Tensor {
  const axes = mergedAxes(shape, steps).map(({ size, steps: [step] }) => ({ size, step: step! }));
  if (axes.length === 1 && axes[0]!.step === 1 && numel(shape) === x.size) return x.view(shape);
  const inner = axes.at(-1)!;
  const width = inner.step === 1 ? widthFor(inner.size, offset, ...axes.slice(0, -1).map((a) => a.step)) : 1;
  const n = numel(shape) / width;
  const sizes = axes.map((a, k) => (k === 0 ? 0 : a === inner ? a.size / width : a.size));
  const kernel = gatherKernel({ elem: typeOf(width), sizes, steps: axes.map((a) => (a === inner ? a.step : a.step / width)) });
  return kernel({ inputs: { x }, outputs: { y: { shape, dtype: x.dtype } }, params: { n, offset: offset / width }, threads: n }).y;
}

const reshapeOp = defineOp({
  name: "reshape",
  forward: ([x]: [Tensor], { shape }: { shape: Shape }) => ({ y: x.view(shape), saved: null }),
  backward: (dy, _, [x]) => [dy.view(x.shape)],
});

/** x: (...). Returns the same values as `shape`, without a copy. */
export const reshape = (x: Tensor, shape: Shape): Tensor => reshapeOp([x], { shape });

const permuted = (x: Tensor, axes: readonly number[]): Tensor =>
  gather(
    x,
    axes.map((a) => x.shape[a]!),
    axes.map((a) => strides(x.shape)[a]!),
  );

const permuteOp = defineOp({
  name: "permute",
  forward: ([x]: [Tensor], { axes }: { axes: readonly number[] }) => ({ y: permuted(x, axes), saved: null }),
  backward: (dy, _, __, { axes }) => [
    permuted(
      dy,
      range(axes.length).map((a) => axes.indexOf(a)),
    ),
  ],
});

/** Axis i of the result is axis `axes[i]` of x. */
export function permute(x: Tensor, axes: readonly number[]): Tensor {
  const own = axes.map((a) => normalizeAxis("permute", a, x.shape.length));
  if (own.length !== x.shape.length || new Set(own).size !== own.length) {
    throw new Error(`permute: expected each of ${x.shape.length} axes once for x ${show(x.shape)}, got [${axes}]`);
  }
  return permuteOp([x], { axes: own });
}

interface Cut {
  readonly axis: number;
  readonly start: number;
  readonly end: number;
}
const cut = (x: Tensor, { axis, start, end }: Cut): Tensor =>
  gather(x, x.shape.with(axis, end - start), strides(x.shape), start * strides(x.shape)[axis]!);

const sliceOp = defineOp({
  name: "slice",
  forward: ([x]: [Tensor], at: Cut) => ({ y: cut(x, at), saved: null }),
  backward: (dy, _, [x], { axis, start }) => [amongZeros(dy, x.shape, axis, start)],
});

/** x: (..., N, ...). Returns its elements `start` to `end` (not included) along the axis. */
export function slice(x: Tensor, axis: number, start: number, end: number): Tensor {
  const a = normalizeAxis("slice", axis, x.shape.length);
  const N = x.shape[a]!;
  if (![start, end].every(Number.isInteger) || start < 0 || end > N || start >= end) {
    throw new Error(`slice: expected 0 <= start < end <= ${N} for axis ${axis} of x ${show(x.shape)}, got ${start} and ${end}`);
  }
  return N === end - start ? x : sliceOp([x], { axis: a, start, end });
}

// Inputs seen as (OUTER, W0), (OUTER, W1), ...; y as (OUTER, W0 + W1 + ...). One thread per element of y.
const concatKernel = kernelFamily(({ elem, widths }: { elem: Elem; widths: readonly number[] }) => {
  const ends = widths.map((_, k) => widths.slice(0, k + 1).reduce((a, b) => a + b, 0));
  const pick = widths.map(
    (w, k) => `${k < widths.length - 1 ? `if (at < ${ends[k]}u) ` : ""}{ y[i] = x${k}[row * ${w}u + at - ${ends[k]! - w}u]; }`,
  );
  return defineKernel({
    name: "concat.forward",
    inputs: Object.fromEntries(widths.map((_, k) => [`x${k}`, elem])) as Record<string, Elem>,
    outputs: { y: elem },
    params: { n: "u32" },
    workgroup: WG,
    code: `let i = group * WG + li; if (i < p.n) { let row = i / ${ends.at(-1)}u; let at = i % ${ends.at(-1)}u; ${pick.join(" else ")} }`,
  });
});

const concatOp = defineOp({
  name: "concat",
  forward(parts: readonly Tensor[], { axis }: { axis: number }) {
    const shape = parts[0]!.shape.with(
      axis,
      parts.reduce((n, t) => n + t.shape[axis]!, 0),
    );
    const inner = numel(shape.slice(axis + 1));
    const lengths = parts.map((t) => t.shape[axis]! * inner);
    const width = widthFor(...lengths);
    const n = numel(shape) / width;
    const { y } = concatKernel({ elem: typeOf(width), widths: lengths.map((l) => l / width) })({
      inputs: Object.fromEntries(parts.map((t, k) => [`x${k}`, t])),
      outputs: { y: { shape, dtype: parts[0]!.dtype } },
      params: { n },
      threads: n,
    });
    return { y, saved: null };
  },
  backward(dy, _, parts, { axis }, needs) {
    let end = 0;
    return parts.map((t, k) => {
      end += t.shape[axis]!;
      return needs[k] ? cut(dy, { axis, start: end - t.shape[axis]!, end }) : null;
    });
  },
});

/** Tensors that agree but for one axis, one after the other along it. */
export function concat(tensors: readonly Tensor[], axis: number): Tensor {
  const [first] = tensors;
  if (!first) throw new Error("concat: expected at least one tensor, got none");
  const a = normalizeAxis("concat", axis, first.shape.length);
  for (const t of tensors) {
    if (t.shape.length !== first.shape.length || !sameShape(t.shape.with(a, 0), first.shape.with(a, 0))) {
      throw new Error(`concat: expected ${show(first.shape)} but for axis ${axis}, got ${show(t.shape)}`);
    }
  }
  if (tensors.length === 1) return first;
  if (tensors.length <= MAX_INPUTS) return concatOp(tensors, { axis: a });
  return concat([concatOp(tensors.slice(0, MAX_INPUTS), { axis: a }), ...tensors.slice(MAX_INPUTS)], a);
}

const expandOp = defineOp({
  name: "expand",
  forward: ([x]: [Tensor], { shape }: { shape: Shape }) => ({ y: gather(x, shape, broadcastStrides(x.shape, shape)), saved: null }),
  backward: (dy, _, [x]) => [sumTo(dy, x.shape)],
});

/** Repeats x along axes of length 1, and along new axes in front, up to `shape`. */
export function expand(x: Tensor, shape: Shape): Tensor {
  if (!sameShape(broadcastShapes("expand", x.shape, shape), shape))
    throw new Error(`expand: expected a shape that x ${show(x.shape)} broadcasts to, got ${show(shape)}`);
  return sameShape(x.shape, shape) ? x : expandOp([x], { shape });
}

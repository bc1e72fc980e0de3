/**
 * Sums, and the WGSL that adds within a workgroup.
 *
 *   sum(x, axis): y = sum of x along the axis     dx = dy repeated along it
 *
 * Every sum has a fixed order: WGSL has no f32 atomics, and runs stay bit-repeatable.
 */
import { defineOp } from "../engine/autograd.ts";
import { defineKernel } from "../engine/kernel.ts";
import { normalizeAxis, numel, sameShape, show, type Shape } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";

/** `workgroup_sum(v, t)`: every thread t of the workgroup gets the sum of all v. WG must be a power of two. */
export const workgroupSum = /* wgsl */ `
var<workgroup> partial_sum: array<f32, WG>;
fn workgroup_sum(v: f32, t: u32) -> f32 {
  let i = t % WG; // t, as Tint can prove: no clamps, and a loop that it knows the end of
  partial_sum[i] = v;
  workgroupBarrier();
  for (var n = 0u; n < countTrailingZeros(WG); n++) {
    let s = WG >> (n + 1u);
    if (i < s) { partial_sum[i] += partial_sum[(i + s) % WG]; }
    workgroupBarrier();
  }
  let total = partial_sum[0];
  workgroupBarrier(); // partial_sum may be reused by the next call
  return total;
}
`;

/** `workgroup_max(v, t)`: every thread t of the workgroup gets the largest v. WG must be a power of two. */
export const workgroupMax = /* wgsl */ `
var<workgroup> partial_max: array<f32, WG>;
fn workgroup_max(v: f32, t: u32) -> f32 {
  let i = t % WG; // t, as Tint can prove: no clamps, and a loop that it knows the end of
  partial_max[i] = v;
  workgroupBarrier();
  for (var n = 0u; n < countTrailingZeros(WG); n++) {
    let s = WG >> (n + 1u);
    if (i < s) { partial_max[i] = max(partial_max[i], partial_max[(i + s) % WG]); }
    workgroupBarrier();
  }
  let largest = partial_max[0];
  workgroupBarrier(); // partial_max may be reused by the next call
  return largest;
}
`;

const WG = 64;

// x seen as (OUTER, LEN, INNER); one thread per (outer, inner), adding along LEN in order.
const sumColumnsKernel = defineKernel({
  name: "sum.columns",
  inputs: { x: "f32" }, // (OUTER, LEN, INNER)
  outputs: { y: "f32" }, // (OUTER, INNER)
  params: { n: "u32", len: "u32", inner: "u32" },
  workgroup: WG,
  code: /* wgsl */ `
    let i = group * WG + li;
    if (i < p.n) {
      let base = (i / p.inner) * p.len * p.inner + i % p.inner;
      var s = 0.0;
      for (var k = 0u; k < p.len; k++) { s += x[base + k * p.inner]; }
      y[i] = s;
    }`,
});

// x seen as (OUTER, LEN): one workgroup per row.
const sumRowsKernel = defineKernel({
  name: "sum.rows",
  inputs: { x: "f32" }, // (OUTER, LEN)
  outputs: { y: "f32" }, // (OUTER)
  params: { len: "u32" },
  workgroup: WG,
  helpers: workgroupSum,
  code: /* wgsl */ `
    var s = 0.0;
    for (var k = li; k < p.len; k += WG) { s += x[group * p.len + k]; }
    let total = workgroup_sum(s, li);
    if (li == 0u) { y[group] = total; }`,
});

const repeatKernel = defineKernel({
  name: "sum.backward",
  inputs: { dy: "f32" }, // (OUTER, INNER)
  outputs: { dx: "f32" }, // (OUTER, LEN, INNER)
  params: { n: "u32", len: "u32", inner: "u32", scale: "f32" },
  workgroup: WG,
  code: /* wgsl */ `
    let i = group * WG + li;
    if (i < p.n) { dx[i] = dy[(i / (p.inner * p.len)) * p.inner + i % p.inner] * p.scale; }`,
});

const scaleKernel = defineKernel({
  name: "mean.scale",
  inputs: { x: "f32" },
  outputs: { y: "f32" },
  params: { n: "u32", scale: "f32" },
  workgroup: WG,
  code: /* wgsl */ `
    let i = group * WG + li;
    if (i < p.n) { y[i] = x[i] * p.scale; }`,
});

// A long column is cut into stripes that are added side by side, then together.
const STRIPE = 256;

function sumMiddle(x: Tensor, outer: number, len: number, inner: number): Tensor {
  if (inner === 1) return sumRowsKernel({ inputs: { x }, outputs: { y: [outer] }, params: { len }, groups: outer }).y;
  const stripe = len > 2 * STRIPE && len % STRIPE === 0 ? STRIPE : len;
  const parts = outer * (len / stripe) * inner;
  const { y } = sumColumnsKernel({ inputs: { x }, outputs: { y: [parts] }, params: { n: parts, len: stripe, inner }, groups: Math.ceil(parts / WG) });
  return stripe === len ? y : sumMiddle(y, outer, len / stripe, inner);
}

/** Sums `x` over the axes along which `shape` broadcasts to x's shape. No gradient: used inside backward passes. */
export function sumTo(x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.shape, shape)) return x;
  const padded = [...new Array<number>(x.shape.length - shape.length).fill(1), ...shape];
  let sizes = [...x.shape];
  let y = x;
  for (let i = 0; i < padded.length;) {
    if (padded[i] === sizes[i]) { i++; continue; }
    if (padded[i] !== 1) throw new Error(`sumTo: expected a shape that broadcasts to ${show(x.shape)}, got ${show(shape)}`);
    let j = i;
    while (j < padded.length && padded[j] === 1) j++; // neighbours are summed together
    const outer = numel(sizes.slice(0, i)), len = numel(sizes.slice(i, j)), inner = numel(sizes.slice(j));
    y = sumMiddle(y, outer, len, inner);
    sizes = sizes.map((d, k) => (k >= i && k < j ? 1 : d));
    i = j;
  }
  return y.view(shape);
}

const reduceOp = defineOp({
  name: "sum",
  forward([x]: [Tensor], { outer, len, inner, shape, scale }: { outer: number; len: number; inner: number; shape: Shape; scale: number }) {
    const total = sumMiddle(x, outer, len, inner);
    const n = total.size;
    const y = scale === 1 ? total : scaleKernel({ inputs: { x: total }, outputs: { y: [n] }, params: { n, scale }, groups: Math.ceil(n / WG) }).y;
    return { y: y.view(shape), saved: null };
  },
  backward(dy, _, [x], { len, inner, scale }) {
    const n = x.size;
    return [repeatKernel({ inputs: { dy }, outputs: { dx: x.shape }, store: { dx: x.dtype }, params: { n, len, inner, scale }, groups: Math.ceil(n / WG) }).dx];
  },
});

function reduce(name: string, x: Tensor, axis: number | undefined, keepDims: boolean, mean: boolean): Tensor {
  const a = axis === undefined ? 0 : normalizeAxis(name, axis, x.shape.length);
  const end = axis === undefined ? x.shape.length : a + 1;
  const outer = numel(x.shape.slice(0, a)), len = numel(x.shape.slice(a, end)), inner = numel(x.shape.slice(end));
  const shape = x.shape.flatMap((d, i) => (i < a || i >= end ? [d] : keepDims ? [1] : []));
  return reduceOp([x], { outer, len, inner, shape, scale: mean ? 1 / len : 1 });
}

/** Sum along one axis, or over everything. */
export const sum = (x: Tensor, axis?: number, keepDims = false): Tensor => reduce("sum", x, axis, keepDims, false);

/** Mean along one axis, or over everything. */
export const mean = (x: Tensor, axis?: number, keepDims = false): Tensor => reduce("mean", x, axis, keepDims, true);

/**
 * Sums, and the WGSL that adds within a workgroup.
 *
 *   sum(x, axis): y = sum of x along the axis     dx = dy repeated along it
 *
 * Every sum has a fixed order: WGSL has no f32 atomics, and runs stay bit-repeatable.
 */
import { defineOp } from "../../engine/autograd.ts";
import { getDevice } from "../../engine/device.ts";
import { defineKernel, kernelFamily } from "../../engine/kernel.ts";
import { numel, sameShape, show, type Shape } from "../../engine/shape.ts";
import { normalizeAxis } from "./axes.ts";
import type { Tensor } from "../../engine/tensor.ts";
import { addParts } from "./add-parts.ts";
import { wideWorkgroup } from "./wide-workgroup.ts";
import { unroll, unrollLines } from "./unroll.ts";
import { typeOf, widthFor, type Width } from "./width.ts";

/** WGSL of `workgroup_NAME(v, t)`. `join` puts `partial[i + s]` into `partial[i]`; WG must be a power of two. */
const workgroupReduction = (name: string, result: string, join: (partial: string, other: string) => string) => /* wgsl */ `
var<workgroup> partial_${name}: array<f32, WG>;
fn workgroup_${name}(v: f32, t: u32) -> f32 {
  let i = t % WG; // t, as Tint can prove: no clamps, and a loop that it knows the end of
  partial_${name}[i] = v;
  workgroupBarrier();
  for (var n = 0u; n < countTrailingZeros(WG); n++) {
    let s = WG >> (n + 1u);
    if (i < s) { ${join(`partial_${name}[i]`, `partial_${name}[(i + s) % WG]`)}; }
    workgroupBarrier();
  }
  let ${result} = partial_${name}[0];
  workgroupBarrier(); // partial_${name} may be reused by the next call
  return ${result};
}
`;

/** `workgroup_sum(v, t)`: every thread t of the workgroup gets the sum of all v. */
export const workgroupSum = /* @__PURE__ */ workgroupReduction("sum", "total", (own, other) => `${own} += ${other}`);

/** `workgroup_max(v, t)`: every thread t of the workgroup gets the largest v. */
export const workgroupMax = /* @__PURE__ */ workgroupReduction("max", "largest", (own, other) => `${own} = max(${own}, ${other})`);

const WG = 64;

/** Threads needed to fill the adapter: long sums are cut into parts until they have this many threads. */
const threadsToFill = (): number => (getDevice().adapter.software ? 2 ** 12 : 2 ** 17);
/** Smallest number of values per thread in a sum that is cut. */
const MIN_PER_THREAD = 16;
/** Loads in flight per thread. */
export const FLIGHT = 4;

/** How `len` rows of `columns` threads are cut: into `parts` stripes, each a multiple of `FLIGHT` rows; the last may be shorter. */
export function stripesOf(len: number, columns: number): { readonly stripe: number; readonly parts: number } {
  const wanted = Math.min(Math.ceil(threadsToFill() / columns), Math.ceil(len / MIN_PER_THREAD));
  const stripe = Math.ceil(len / wanted / FLIGHT) * FLIGHT;
  return { stripe, parts: Math.ceil(len / stripe) };
}

/** `body(n)` for the rows `row + n` of a stripe below `end`, FLIGHT at a time; then `s0` is the sum of all `s<n>`, added in their order. */
export const alongStripe = (T: string, body: (n: number) => string): string => {
  return `${unroll(FLIGHT, (n) => `var s${n} = ${T}();`)}
      for (var k = 0u; k < p.stripe / ${FLIGHT}u; k++) {
        let row = first + k * ${FLIGHT}u;
        ${unroll(FLIGHT, (n) => `if (row + ${n}u < end) { ${body(n)} }`, "\n        ")}
      }
      s0 = ${unroll(FLIGHT, (n) => `s${n}`, " + ")};`;
};

// x seen as (OUTER, LEN, INNER), in vectors; one thread per (outer, stripe of LEN, inner).
const sumColumnsKernel = kernelFamily(({ W }: { readonly W: Width }) => {
  const T = typeOf(W);
  return defineKernel({
    name: "sum.columns",
    inputs: { x: T }, // (OUTER, LEN, INNER)
    outputs: { y: T }, // (OUTER, parts, INNER)
    params: { n: "u32", len: "u32", inner: "u32", stripe: "u32", parts: "u32" },
    workgroup: 128,
    code: /* wgsl */ `
    let i = group * WG + li;
    if (i < p.n) {
      let outer = i / (p.inner * p.parts);
      let first = outer * p.len + i / p.inner % p.parts * p.stripe;
      let end = min(first + p.stripe, (outer + 1u) * p.len);
      ${alongStripe(T, (n) => `s${n} += x[(row + ${n}u) * p.inner + i % p.inner];`)}
      y[i] = s0;
    }`,
  });
});

/** Largest number of values of a row per workgroup, or per thread on a processor, and of chunks per row; the last limit wins. */
const CHUNK = 2 ** 15;
const CHUNK_ALONE = 2 ** 12;
const PARTS = 1024;

// x seen as (OUTER, LEN): one workgroup per chunk of a row.
const sumRowsKernel = kernelFamily(({ W, threads }: { readonly W: Width; readonly threads: number }) => {
  const T = typeOf(W);
  return defineKernel({
    name: "sum.rows",
    inputs: { x: T }, // (OUTER, LEN)
    outputs: { y: "f32" }, // (OUTER, parts)
    params: { len: "u32", chunk: "u32", parts: "u32" },
    workgroup: threads,
    helpers: workgroupSum,
    code: /* wgsl */ `
    let first = group / p.parts * p.len;
    let end = first + min(p.len, (group % p.parts + 1u) * p.chunk);
    var s = ${T}();
    for (var k = first + group % p.parts * p.chunk + li; k < end; k += WG * ${FLIGHT}u) {
      s += x[k];
      ${unrollLines(FLIGHT - 1, (n) => `if (k + WG * ${n + 1}u < end) { s += x[k + WG * ${n + 1}u]; }`)}
    }
    let total = workgroup_sum(${W === 4 ? "dot(s, vec4f(1.0))" : "s"}, li);
    if (li == 0u) { y[group] = total; }`,
  });
});

// The same with one thread per chunk.
const sumRowsAloneKernel = kernelFamily(({ W }: { readonly W: Width }) =>
  defineKernel({
    name: "sum.rowsAlone",
    inputs: { x: typeOf(W) }, // (OUTER, LEN)
    outputs: { y: "f32" }, // (OUTER, parts)
    params: { n: "u32", len: "u32", chunk: "u32", parts: "u32" },
    workgroup: 16,
    code: /* wgsl */ `
    let i = group * WG + li;
    if (i >= p.n) { return; }
    let first = i / p.parts * p.len;
    let end = first + min(p.len, (i % p.parts + 1u) * p.chunk);
    var s = ${W === 4 ? "vec4f()" : "0.0"};
    for (var k = first + i % p.parts * p.chunk; k < end; k++) { s += x[k]; }
    y[i] = ${W === 4 ? "dot(s, vec4f(1.0))" : "s"};`,
  }),
);

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

/** x seen as (outer, len, inner): the sums along the middle, flat. */
export function sumMiddle(x: Tensor, outer: number, len: number, inner: number): Tensor {
  if (inner === 1) return sumRows(x, outer, len);
  const W = widthFor(inner);
  const { stripe, parts } = stripesOf(len, (outer * inner) / W);
  const n = (outer * parts * inner) / W;
  const { y } = sumColumnsKernel({ W })({
    inputs: { x },
    outputs: { y: [outer * parts * inner] },
    params: { n, len, inner: inner / W, stripe, parts },
    threads: n,
  });
  if (parts === 1) return y;
  return outer === 1 ? addParts([y.view([parts, inner])])[0] : sumMiddle(y, outer, parts, inner);
}

function sumRows(x: Tensor, outer: number, len: number): Tensor {
  const W = widthFor(len);
  const alone = getDevice().adapter.software;
  const chunk = Math.ceil(Math.max(alone ? CHUNK_ALONE : CHUNK, len / PARTS) / W);
  const parts = Math.ceil(len / W / chunk);
  const n = outer * parts;
  const tensors = { inputs: { x }, outputs: { y: [n] } };
  const params = { len: len / W, chunk, parts };
  const { y } = alone
    ? sumRowsAloneKernel({ W })({ ...tensors, params: { n, ...params }, threads: n })
    : sumRowsKernel({ W, threads: len / W >= 1024 ? wideWorkgroup() : WG })({ ...tensors, params, groups: n });
  return parts === 1 ? y : sumRows(y, outer, parts);
}

/** Sums `x` over the axes along which `shape` broadcasts to x's shape. No gradient: used inside backward passes. */
export function sumTo(x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.shape, shape)) return x;
  const padded = [...new Array<number>(x.shape.length - shape.length).fill(1), ...shape];
  let sizes = [...x.shape];
  let y = x;
  for (let i = 0; i < padded.length; ) {
    if (padded[i] === sizes[i]) {
      i++;
      continue;
    }
    if (padded[i] !== 1) throw new Error(`sumTo: expected a shape that broadcasts to ${show(x.shape)}, got ${show(shape)}`);
    let j = i;
    while (j < padded.length && padded[j] === 1) j++; // neighbours are summed together
    const outer = numel(sizes.slice(0, i)),
      len = numel(sizes.slice(i, j)),
      inner = numel(sizes.slice(j));
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
    const y = scale === 1 ? total : scaleKernel({ inputs: { x: total }, outputs: { y: [n] }, params: { n, scale }, threads: n }).y;
    return { y: y.view(shape), saved: null };
  },
  backward(dy, _, [x], { len, inner, scale }) {
    const n = x.size;
    return [repeatKernel({ inputs: { dy }, outputs: { dx: x }, params: { n, len, inner, scale }, threads: n }).dx];
  },
});

function reduce(name: string, x: Tensor, axis: number | undefined, keepDims: boolean, mean: boolean): Tensor {
  const a = axis === undefined ? 0 : normalizeAxis(name, axis, x.shape.length);
  const end = axis === undefined ? x.shape.length : a + 1;
  const outer = numel(x.shape.slice(0, a)),
    len = numel(x.shape.slice(a, end)),
    inner = numel(x.shape.slice(end));
  const shape = x.shape.flatMap((d, i) => (i < a || i >= end ? [d] : keepDims ? [1] : []));
  return reduceOp([x], { outer, len, inner, shape, scale: mean ? 1 / len : 1 });
}

/** Sum along one axis, or over everything. */
export const sum = (x: Tensor, axis?: number, keepDims = false): Tensor => reduce("sum", x, axis, keepDims, false);

/** Mean along one axis, or over everything. */
export const mean = (x: Tensor, axis?: number, keepDims = false): Tensor => reduce("mean", x, axis, keepDims, true);

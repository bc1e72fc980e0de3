/**
 * Layer normalization over the last axis.
 *
 *   y = n * weight + bias,   n = (x - mean) * rstd,   rstd = 1 / sqrt(var + eps)
 *
 * Backward, with g = dy * weight and means taken over the row:
 *
 *   dx = rstd * (g - mean(g) - n * mean(g * n))
 *   dweight = sum over rows of dy * n,   dbias = sum over rows of dy
 *
 * Ba et al. 2016, https://arxiv.org/abs/1607.06450
 */
import { defineOp } from "../engine/autograd.ts";
import { getDevice } from "../engine/device.ts";
import { defineKernel, kernelFamily } from "../engine/kernel.ts";
import { show } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";
import { workgroupSum } from "./reduce.ts";

export type LayerNormVariant = "shared" | "register";

/** A row per workgroup whose threads share their sums, or, where barriers are dear, a row per thread. */
const rowLoop = (variant: LayerNormVariant) => variant === "shared"
  ? { workgroup: 64, helpers: workgroupSum, row: "let row = group;", start: "li", step: "WG", total: (v: string) => `workgroup_sum(${v}, li)`, one: "li == 0u" }
  : { workgroup: 16, helpers: "", row: "let row = group * WG + li; if (row >= p.rows) { return; }", start: "0u", step: "1u", total: (v: string) => v, one: "true" };

const groupsFor = (variant: LayerNormVariant, rows: number) => (variant === "shared" ? rows : Math.ceil(rows / 16));

const forwardKernel = kernelFamily((variant: LayerNormVariant) => {
  const { workgroup, helpers, row, start, step, total, one } = rowLoop(variant);
  return defineKernel({
    name: "layerNorm.forward",
    inputs: { x: "f32", weight: "f32", bias: "f32" }, // (N, D), (D), (D)
    outputs: { y: "f32", mean: "f32", rstd: "f32" }, // (N, D), (N), (N)
    constants: { D: "u32" },
    params: { rows: "u32", eps: "f32" },
    workgroup, helpers,
    code: /* wgsl */ `
    ${row}
    var sum = 0.0;
    for (var i = ${start}; i < D; i += ${step}) { sum += x[row * D + i]; }
    let m = ${total("sum")} / f32(D);

    // Two passes over the row: E[x^2] - E[x]^2 cancels badly in f32.
    var sq = 0.0;
    for (var i = ${start}; i < D; i += ${step}) { let d = x[row * D + i] - m; sq += d * d; }
    let r = 1.0 / sqrt(${total("sq")} / f32(D) + p.eps);

    for (var i = ${start}; i < D; i += ${step}) { y[row * D + i] = (x[row * D + i] - m) * r * weight[i] + bias[i]; }
    if (${one}) { mean[row] = m; rstd[row] = r; }`,
  });
});

const backwardInputKernel = kernelFamily((variant: LayerNormVariant) => {
  const { workgroup, helpers, row, start, step, total } = rowLoop(variant);
  return defineKernel({
    name: "layerNorm.backwardInput",
    inputs: { dy: "f32", x: "f32", weight: "f32", mean: "f32", rstd: "f32" }, // (N, D), (N, D), (D), (N), (N)
    outputs: { dx: "f32" }, // (N, D)
    constants: { D: "u32" },
    params: { rows: "u32" },
    workgroup, helpers,
    code: /* wgsl */ `
    ${row}
    let m = mean[row];
    let r = rstd[row];
    var sum_g = 0.0;
    var sum_gn = 0.0;
    for (var i = ${start}; i < D; i += ${step}) {
      let g = dy[row * D + i] * weight[i];
      sum_g += g;
      sum_gn += g * (x[row * D + i] - m) * r;
    }
    let mean_g = ${total("sum_g")} / f32(D);
    let mean_gn = ${total("sum_gn")} / f32(D);
    for (var i = ${start}; i < D; i += ${step}) {
      let n = (x[row * D + i] - m) * r;
      dx[row * D + i] = r * (dy[row * D + i] * weight[i] - mean_g - n * mean_gn);
    }`,
  });
});

/** Rows that one thread of the first stage adds. */
const STRIPE = 64;

// One thread per column and stripe of rows; WGSL has no f32 atomics, and runs stay repeatable.
const stripesKernel = defineKernel({
  name: "layerNorm.stripes",
  inputs: { dy: "f32", x: "f32", mean: "f32", rstd: "f32" }, // (N, D), (N, D), (N), (N)
  outputs: { w: "f32", b: "f32" }, // (S, D) each
  constants: { D: "u32" },
  params: { rows: "u32", stripes: "u32" },
  workgroup: 64,
  code: /* wgsl */ `
    let i = group * WG + li;
    if (i >= p.stripes * D) { return; }
    let column = i % D;
    let first = (i / D) * ${STRIPE}u;
    let last = min(first + ${STRIPE}u, p.rows);
    var sum_w = 0.0;
    var sum_b = 0.0;
    for (var row = first; row < last; row++) {
      let g = dy[row * D + column];
      sum_w += g * (x[row * D + column] - mean[row]) * rstd[row];
      sum_b += g;
    }
    w[i] = sum_w;
    b[i] = sum_b;`,
});

// One thread per column adds the stripes in order.
const addStripesKernel = defineKernel({
  name: "layerNorm.addStripes",
  inputs: { w: "f32", b: "f32" }, // (S, D) each
  outputs: { dweight: "f32", dbias: "f32" }, // (D) each
  constants: { D: "u32" },
  params: { stripes: "u32" },
  workgroup: 64,
  code: /* wgsl */ `
    let i = group * WG + li;
    if (i >= D) { return; }
    var sum_w = 0.0;
    var sum_b = 0.0;
    for (var s = 0u; s < p.stripes; s++) { sum_w += w[s * D + i]; sum_b += b[s * D + i]; }
    dweight[i] = sum_w;
    dbias[i] = sum_b;`,
});

const op = defineOp({
  name: "layerNorm",

  forward([x, weight, bias]: [Tensor, Tensor, Tensor], { eps, variant }: { eps: number; variant: LayerNormVariant }) {
    const D = x.shape.at(-1) ?? 0;
    if (D === 0 || show(weight.shape) !== `[${D}]` || show(bias.shape) !== `[${D}]`) {
      throw new Error(`layerNorm: expected weight and bias [${D}] for x ${show(x.shape)}, got ${show(weight.shape)} and ${show(bias.shape)}`);
    }
    const rows = x.size / D;
    const { y, mean, rstd } = forwardKernel(variant)({
      inputs: { x, weight, bias }, outputs: { y: x.shape, mean: [rows], rstd: [rows] }, constants: { D }, params: { rows, eps }, groups: groupsFor(variant, rows),
    });
    return { y, saved: { mean, rstd, rows, D } };
  },

  backward(dy, { mean, rstd, rows, D }, [x, weight], { variant }) {
    const { dx } = backwardInputKernel(variant)({
      inputs: { dy, x, weight, mean, rstd }, outputs: { dx: x.shape }, constants: { D }, params: { rows }, groups: groupsFor(variant, rows),
    });
    const stripes = Math.ceil(rows / STRIPE);
    const { w, b } = stripesKernel({
      inputs: { dy, x, mean, rstd }, outputs: { w: [stripes, D], b: [stripes, D] }, constants: { D }, params: { rows, stripes }, groups: Math.ceil((stripes * D) / 64),
    });
    const { dweight, dbias } = addStripesKernel({
      inputs: { w, b }, outputs: { dweight: [D], dbias: [D] }, constants: { D }, params: { stripes }, groups: Math.ceil(D / 64),
    });
    return [dx, dweight, dbias];
  },
});

/** x: (..., D), weight and bias: (D). Returns (..., D). */
export const layerNorm = (x: Tensor, weight: Tensor, bias: Tensor, { eps = 1e-6, variant }: { readonly eps?: number; readonly variant?: LayerNormVariant } = {}): Tensor =>
  op([x, weight, bias], { eps, variant: variant ?? (getDevice().adapter.software ? "register" : "shared") });

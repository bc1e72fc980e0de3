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
import { defineKernel, kernelFamily } from "../engine/kernel.ts";
import { sameShape, show } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";
import { rowVariant, rowWords, type RowVariant } from "./rows.ts";

interface Config {
  readonly variant: RowVariant;
  /** Elements per load. */
  readonly W: 1 | 4;
}

const COLUMNS = 64; // threads of a workgroup that goes down columns

const kernels = kernelFamily(({ variant, W }: Config) => {
  const w = rowWords[variant];
  const T = W === 4 ? "vec4f" : "f32";
  const total = (v: string) => (W === 4 ? `dot(${v}, vec4f(1.0))` : v);
  const walk = (body: string) => `for (var i = ${w.first}; i < p.len; i += ${w.step}) { ${body} }`;
  const size = `f32(p.len * ${W}u)`; // D; p.len counts vectors
  const common = { workgroup: w.workgroup, helpers: w.helpers } as const;
  return {
    // One workgroup or one thread per row, see rows.ts.
    forward: defineKernel({
      ...common, name: "layerNorm.forward",
      inputs: { x: T, weight: T, bias: T }, // (N, D), (D), (D)
      outputs: { y: T, mean: "f32", rstd: "f32" }, // (N, D), (N), (N)
      params: { rows: "u32", len: "u32", eps: "f32" },
      code: w.code(/* wgsl */ `
    let first = row * p.len;
    var s = 0.0;
    ${walk(`s += ${total("x[first + i]")};`)}
    let m = ${w.sum("s")} / ${size};

    // Two passes over the row: E[x^2] - E[x]^2 cancels badly in f32.
    var sq = 0.0;
    ${walk(`let d = x[first + i] - ${T}(m); sq += ${total("d * d")};`)}
    let r = 1.0 / sqrt(${w.sum("sq")} / ${size} + p.eps);

    ${walk(`y[first + i] = (x[first + i] - ${T}(m)) * r * weight[i] + bias[i];`)}
    if (${w.leads}) { mean[row] = m; rstd[row] = r; }`),
    }),

    // One workgroup or one thread per row.
    backwardInput: defineKernel({
      ...common, name: "layerNorm.backwardInput",
      inputs: { dy: T, x: T, weight: T, mean: "f32", rstd: "f32" }, // (N, D), (N, D), (D), (N), (N)
      outputs: { dx: T }, // (N, D)
      params: { rows: "u32", len: "u32" },
      code: w.code(/* wgsl */ `
    let first = row * p.len;
    let m = mean[row];
    let r = rstd[row];
    var sum_g = 0.0;
    var sum_gn = 0.0;
    ${walk(`let g = dy[first + i] * weight[i]; sum_g += ${total("g")}; sum_gn += ${total(`g * ((x[first + i] - ${T}(m)) * r)`)};`)}
    let mean_g = ${w.sum("sum_g")} / ${size};
    let mean_gn = ${w.sum("sum_gn")} / ${size};
    ${walk(`let n = (x[first + i] - ${T}(m)) * r; dx[first + i] = r * (dy[first + i] * weight[i] - ${T}(mean_g) - n * mean_gn);`)}`),
    }),

    // One thread per column (W of them) of a stripe of rows: a long column in one thread would be all the kernel's time.
    backwardParams: defineKernel({
      name: "layerNorm.backwardParams", workgroup: COLUMNS,
      inputs: { dy: T, x: T, mean: "f32", rstd: "f32" }, // (N, D), (N, D), (N), (N)
      outputs: { dweights: T, dbiases: T }, // (S, D), (S, D): S stripes
      params: { rows: "u32", len: "u32", stripe: "u32", n: "u32" },
      code: /* wgsl */ `
    let i = group * WG + li;
    if (i < p.n) {
      let start = i / p.len * p.stripe;
      var w: ${T};
      var b: ${T};
      for (var row = start; row < min(start + p.stripe, p.rows); row++) {
        let at = row * p.len + i % p.len;
        let d = dy[at];
        w += d * ((x[at] - ${T}(mean[row])) * rstd[row]);
        b += d;
      }
      dweights[i] = w;
      dbiases[i] = b;
    }`,
    }),

    // One thread per column: adds the stripes in order.
    addStripes: defineKernel({
      name: "layerNorm.addStripes", workgroup: COLUMNS,
      inputs: { dweights: T, dbiases: T }, // (S, D), (S, D)
      outputs: { dweight: T, dbias: T }, // (D), (D)
      params: { len: "u32", stripes: "u32" },
      code: /* wgsl */ `
    let i = group * WG + li;
    if (i < p.len) {
      var w: ${T};
      var b: ${T};
      for (var s = 0u; s < p.stripes; s++) { w += dweights[s * p.len + i]; b += dbiases[s * p.len + i]; }
      dweight[i] = w;
      dbias[i] = b;
    }`,
    }),
  };
});

interface Attrs {
  readonly eps: number;
  readonly variant: RowVariant;
}

function plan(x: Tensor, { variant }: Attrs) {
  const D = x.shape.at(-1)!;
  const rows = x.size / D;
  const W = D % 4 === 0 ? 4 : 1;
  return { ...kernels({ variant, W }), D, rows, len: D / W, groups: rowWords[variant].groups(rows) };
}

const op = defineOp({
  name: "layerNorm",
  forward([x, weight, bias]: [Tensor, Tensor, Tensor], attrs: Attrs) {
    const D = x.shape.at(-1) ?? 0;
    if (!sameShape(weight.shape, [D]) || !sameShape(bias.shape, [D])) {
      throw new Error(`layerNorm: expected weight and bias [${D}] for x ${show(x.shape)}, got ${show(weight.shape)} and ${show(bias.shape)}`);
    }
    const { forward, rows, len, groups } = plan(x, attrs);
    const { y, mean, rstd } = forward({
      inputs: { x, weight, bias }, outputs: { y: x.shape, mean: [rows], rstd: [rows] }, params: { rows, len, eps: attrs.eps }, groups,
    });
    return { y, saved: { mean, rstd } };
  },
  backward(dy, { mean, rstd }, [x, weight], attrs, needs) {
    const { backwardInput, backwardParams, addStripes, D, rows, len, groups } = plan(x, attrs);
    const dx = needs[0] ? backwardInput({ inputs: { dy, x, weight, mean, rstd }, outputs: { dx: x.shape }, params: { rows, len }, groups }).dx : null;
    if (!needs[1] && !needs[2]) return [dx, null, null];
    const stripe = Math.max(16, Math.ceil(Math.sqrt(rows))); // both stages end up about as long
    const stripes = Math.ceil(rows / stripe);
    const parts = backwardParams({
      inputs: { dy, x, mean, rstd }, outputs: { dweights: [stripes, D], dbiases: [stripes, D] },
      params: { rows, len, stripe, n: stripes * len }, groups: Math.ceil((stripes * len) / COLUMNS),
    });
    const { dweight, dbias } = addStripes({ inputs: parts, outputs: { dweight: [D], dbias: [D] }, params: { len, stripes }, groups: Math.ceil(len / COLUMNS) });
    return [dx, dweight, dbias];
  },
});

export interface LayerNormOptions {
  readonly eps?: number;
  /** Chosen by the adapter unless given. */
  readonly variant?: RowVariant;
}

/** x: (..., D); weight, bias: (D). Returns (..., D). */
export const layerNorm = (x: Tensor, weight: Tensor, bias: Tensor, { eps = 1e-6, variant }: LayerNormOptions = {}): Tensor =>
  op([x, weight, bias], { eps, variant: rowVariant(variant) });

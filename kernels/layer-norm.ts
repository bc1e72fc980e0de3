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
import { defineKernel, kernelFamily, type Elem } from "../engine/kernel.ts";
import { sameShape, show } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";
import { rowVariant, rowWords, type RowVariant } from "./rows.ts";

interface Config {
  readonly variant: RowVariant;
  /** Whether the backward adds a gradient that reached x by other ways. */
  readonly adds: boolean;
  /** Elements per load. */
  readonly W: 1 | 4;
}

// Threads that share a column, and rows of it that are added before they are added to the rest.
const LANES: Readonly<Record<RowVariant, number>> = { shared: 16, register: 1 };
const RUN = 64;

// On a GPU a column longer than this would be all the kernel's time: it is cut into stripes, which one more launch adds.
const STRIPE = 2048;

const kernels = kernelFamily(({ variant, adds, W }: Config) => {
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
      outputs: { y: T, stats: "vec2f" }, // (N, D), (N, 2): mean and rstd
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
    if (${w.leads}) { stats[row] = vec2f(m, r); }`),
    }),

    // The first workgroups go down columns, for the parameters: a thread per column (W of them) of a stripe of rows, or
    // LANES of them that add up at the end. The others make dx, as the forward does y; `others` is added to it.
    backward: defineKernel({
      workgroup: w.workgroup,
      name: "layerNorm.backward",
      inputs: { dy: T, x: T, weight: T, stats: "vec2f", ...(adds ? { others: T } : {}) } as Record<string, Elem>, // (N, D), (N, D), (D), (N, 2), (N, D)
      outputs: { dx: T, dweight: T, dbias: T }, // (N, D), (S, D), (S, D)
      params: { rows: "u32", len: "u32", stripe: "u32", columns: "u32", stripes: "u32" },
      helpers: w.helpers + (variant === "shared" ? `var<workgroup> dweights: array<${T}, WG>; var<workgroup> dbiases: array<${T}, WG>;` : ""),
      code: /* wgsl */ `
    if (group < p.columns * p.stripes) {
      let column = group % p.columns * ${w.workgroup / LANES[variant]}u + li / ${LANES[variant]}u;
      let end = min((group / p.columns + 1u) * p.stripe, p.rows);
      var w: ${T};
      var b: ${T};
      // In short runs, so that what is added is never much smaller than what it is added to.
      for (var start = group / p.columns * p.stripe; start < end; start += ${RUN}u) {
        var run_w = ${T}();
        var run_b = ${T}();
        for (var row = start + li % ${LANES[variant]}u; row < min(start + ${RUN}u, end); row += ${LANES[variant]}u) {
          let at = row * p.len + min(column, p.len - 1u);
          let d = dy[at];
          run_w += d * ((x[at] - ${T}(stats[row].x)) * stats[row].y);
          run_b += d;
        }
        w += run_w;
        b += run_b;
      }
      ${variant === "shared" ? `
      dweights[li] = w;
      dbiases[li] = b;
      workgroupBarrier();
      w = ${T}();
      b = ${T}();
      for (var lane = 0u; lane < ${LANES.shared}u; lane++) {
        w += dweights[li / ${LANES.shared}u * ${LANES.shared}u + lane];
        b += dbiases[li / ${LANES.shared}u * ${LANES.shared}u + lane];
      }` : ""}
      if (column < p.len && li % ${LANES[variant]}u == 0u) {
        dweight[group / p.columns * p.len + column] = w;
        dbias[group / p.columns * p.len + column] = b;
      }
      return;
    }
    ${w.code(/* wgsl */ `
    let first = row * p.len;
    let m = stats[row].x;
    let r = stats[row].y;
    var sum_g = 0.0;
    var sum_gn = 0.0;
    ${walk(`let g = dy[first + i] * weight[i]; sum_g += ${total("g")}; sum_gn += ${total(`g * ((x[first + i] - ${T}(m)) * r)`)};`)}
    let mean_g = ${w.sum("sum_g")} / ${size};
    let mean_gn = ${w.sum("sum_gn")} / ${size};
    ${walk(`let n = (x[first + i] - ${T}(m)) * r; dx[first + i] = ${adds ? "others[first + i] + " : ""}r * (dy[first + i] * weight[i] - ${T}(mean_g) - n * mean_gn);`)}`, "(group - p.columns * p.stripes)")}`,
    }),

    // One thread per column: adds the stripes in order.
    addStripes: defineKernel({
      name: "layerNorm.addStripes", workgroup: 64,
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

function plan(x: Tensor, { variant }: Attrs, adds: boolean) {
  const D = x.shape.at(-1)!;
  const rows = x.size / D;
  const W = D % 4 === 0 ? 4 : 1;
  return { ...kernels({ variant, adds, W }), D, rows, len: D / W, groups: rowWords[variant].groups(rows) };
}

const op = defineOp({
  name: "layerNorm",
  accumulates: 0,
  forward([x, weight, bias]: [Tensor, Tensor, Tensor], attrs: Attrs) {
    const D = x.shape.at(-1) ?? 0;
    if (!sameShape(weight.shape, [D]) || !sameShape(bias.shape, [D])) {
      throw new Error(`layerNorm: expected weight and bias [${D}] for x ${show(x.shape)}, got ${show(weight.shape)} and ${show(bias.shape)}`);
    }
    const { forward, rows, len, groups } = plan(x, attrs, false);
    const { y, stats } = forward({ inputs: { x, weight, bias }, outputs: { y: x.shape, stats: [rows, 2] }, store: { y: x.dtype }, params: { rows, len, eps: attrs.eps }, groups });
    return { y, saved: stats };
  },
  backward(dy, stats, [x, weight], attrs, _, sofar) {
    const { backward, addStripes, D, rows, len, groups } = plan(x, attrs, sofar !== null);
    const stripe = attrs.variant === "register" ? rows : STRIPE;
    const stripes = Math.ceil(rows / stripe);
    const columns = Math.ceil((len * LANES[attrs.variant]) / rowWords[attrs.variant].workgroup);
    const { dx, ...parts } = backward({
      inputs: { dy, x, weight, stats, ...(sofar ? { others: sofar } : {}) }, outputs: { dx: x.shape, dweight: [stripes, D], dbias: [stripes, D] }, store: { dx: x.dtype },
      params: { rows, len, stripe, columns, stripes }, groups: columns * stripes + groups,
    });
    if (stripes === 1) return [dx, parts.dweight.view([D]), parts.dbias.view([D])];
    const { dweight, dbias } = addStripes({ inputs: { dweights: parts.dweight, dbiases: parts.dbias }, outputs: { dweight: [D], dbias: [D] }, params: { len, stripes }, groups: Math.ceil(len / 64) });
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
  op([x, weight, bias], { eps, variant: rowVariant("layerNorm", x, variant) });

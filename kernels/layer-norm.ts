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
import { rowBackward } from "./rows/backward.ts";
import { rowPlan, rowWords, vectors, type RowConfig } from "./rows/rows.ts";
import { rowVariant, type RowOptions, type RowVariant } from "./rows/variants.ts";

const forwardKernel = kernelFamily(({ shape, W }: RowConfig) => {
  const words = rowWords(shape);
  const { T, total } = vectors(W);
  const row = words.row(T, { v: (at) => `x[${at}]` }, "i");
  return defineKernel({
    name: "layerNorm.forward",
    ...words.threads,
    inputs: { x: T, weight: T, bias: T }, // (N, D), (D), (D)
    outputs: { y: T, stats: "vec2f" }, // (N, D), (N, 2): mean and rstd
    params: { rows: "u32", len: "u32", eps: "f32" }, // len: vectors of a row
    code: words.code(/* wgsl */ `
    let first = row * p.len;
    ${row.load}
    var m = 0.0;
    ${row.each(({ v }) => `m += ${total(v)};`)}
    ${words.sum("m")}
    m /= f32(p.len * ${W}u);

    // Two passes over the row: E[x^2] - E[x]^2 cancels badly in f32.
    var sq = 0.0;
    ${row.each(({ v }) => `let d = ${v} - ${T}(m); sq += ${total("d * d")};`)}
    ${words.sum("sq")}
    let r = 1.0 / sqrt(sq / f32(p.len * ${W}u) + p.eps);

    ${row.store(({ v, at, i }) => `y[${at}] = (${v} - ${T}(m)) * r * weight[${i}] + bias[${i}];`)}
    if (${words.leads}) { stats[row] = vec2f(m, r); }`),
  });
});

const backwardKernel = kernelFamily(({ shape, W }: RowConfig) => {
  const { T, total } = vectors(W);
  return rowBackward(
    { shape, W },
    {
      name: "layerNorm.backward",
      inputs: { weight: T, stats: "vec2f" }, // (D), (N, 2)
      element: `let n = (x[at] - ${T}(stats[row].x)) * stats[row].y;`,
      sums: { dweight: "d * n", dbias: "d" }, // (D), (D)
      dx: ({ words, row, partial, sums }) => /* wgsl */ `
    let first = row * p.len;
    let m = stats[row].x;
    let r = stats[row].y;
    ${row.load}
    var mean_g = 0.0;
    var mean_gn = 0.0;
    ${row.each(({ d, v, i }) => `let g = ${d} * weight[${i}]; mean_g += ${total("g")}; mean_gn += ${total(`g * ((${v} - ${T}(m)) * r)`)};`)}
    ${words.sum("mean_g", "mean_gn")}
    mean_g /= f32(p.len * ${W}u);
    mean_gn /= f32(p.len * ${W}u);
    ${row.store(
      ({ d: dy, v, at, i, k }) => /* wgsl */ `let d = ${dy}; let n = (${v} - ${T}(m)) * r;
      dx[${at}] = ${partial(at)}r * (d * weight[${i}] - ${T}(mean_g) - n * mean_gn); ${sums(k)}`,
    )}`,
    },
  );
});

interface Attrs {
  readonly eps: number;
  readonly variant: RowVariant;
}

const op = defineOp({
  name: "layerNorm",
  partialOf: 0,
  forward([x, weight, bias]: [Tensor, Tensor, Tensor], { eps, variant }: Attrs) {
    const shape = [x.shape.at(-1) ?? 0];
    if (!sameShape(weight.shape, shape) || !sameShape(bias.shape, shape))
      throw new Error(
        `layerNorm: expected weight and bias ${show(shape)} for x ${show(x.shape)}, got ${show(weight.shape)} and ${show(bias.shape)}`,
      );
    const { config, grid } = rowPlan(x, variant);
    const { y, stats } = forwardKernel(config)({
      inputs: { x, weight, bias },
      outputs: { y: x, stats: [grid.rows, 2] },
      params: { rows: grid.rows, len: grid.len, eps },
      groups: grid.groups,
    });
    return { y, saved: stats };
  },
  backward(dy, stats, [x, weight], { variant }, _, partial) {
    const { config, grid } = rowPlan(x, variant);
    const [dx, dweight, dbias] = backwardKernel(config)(grid, { dy, x, weight, stats }, partial);
    return [dx!, dweight!, dbias!];
  },
});

export interface LayerNormOptions extends RowOptions {
  /** Added to the variance. Default: 1e-6. */
  readonly eps?: number | undefined;
}

/** x: (..., D); weight, bias: (D). Returns (..., D). */
export const layerNorm = (x: Tensor, weight: Tensor, bias: Tensor, { eps = 1e-6, variant }: LayerNormOptions = {}): Tensor =>
  op([x, weight, bias], { eps, variant: rowVariant("layerNorm", x, variant) });

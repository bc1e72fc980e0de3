/**
 * Root mean square normalization over the last axis: layer normalization without its mean and bias.
 *
 *   y = n * weight,   n = x * r,   r = 1 / sqrt(mean(x^2) + eps)
 *
 * Backward, with g = dy * weight and the mean taken over the row:
 *
 *   dx = r * (g - n * mean(g * n)),   dweight = sum over rows of dy * n
 *
 * Zhang and Sennrich 2019, https://arxiv.org/abs/1910.07467
 */
import { defineOp } from "../engine/autograd.ts";
import { defineKernel, kernelFamily } from "../engine/kernel.ts";
import { sameShape, show } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";
import { rowBackward } from "./rows/backward.ts";
import { rowPlan, rowWords, vectors, type RowConfig } from "./rows/rows.ts";
import { rowVariant, type RowOptions, type RowVariant } from "./rows/variants.ts";

const forwardKernel = kernelFamily(({ shape, W }: RowConfig) => {
  const { T, total } = vectors(W);
  const words = rowWords(shape);
  const row = words.row(T, { v: (at) => `x[${at}]` }, "i");
  return defineKernel({
    name: "rmsNorm.forward",
    ...words.threads,
    inputs: { x: T, weight: T }, // (N, D), (D)
    outputs: { y: T, stats: "f32" }, // (N, D), (N): r
    params: { rows: "u32", len: "u32", eps: "f32" }, // len: vectors of a row
    code: words.code(/* wgsl */ `
    let first = row * p.len;
    ${row.load}
    var sq = 0.0;
    ${row.each(({ v }) => `sq += ${total(`${v} * ${v}`)};`)}
    ${words.sum("sq")}
    let r = 1.0 / sqrt(sq / f32(p.len * ${W}u) + p.eps);
    ${row.store(({ v, at, i }) => `y[${at}] = ${v} * r * weight[${i}];`)}
    if (${words.leads}) { stats[row] = r; }`),
  });
});

const backwardKernel = kernelFamily((config: RowConfig) => {
  const { T, total } = vectors(config.W);
  return rowBackward(config, {
    name: "rmsNorm.backward",
    inputs: { weight: T, stats: "f32" }, // (D), (N)
    element: "let n = x[at] * stats[row];",
    sums: { dweight: "d * n" }, // (D)
    dx: ({ words, row, partial, sums }) => /* wgsl */ `
    let first = row * p.len;
    let r = stats[row];
    ${row.load}
    var mean_gn = 0.0;
    ${row.each(({ d, v, i }) => `mean_gn += ${total(`${d} * weight[${i}] * ${v} * r`)};`)}
    ${words.sum("mean_gn")}
    mean_gn /= f32(p.len * ${config.W}u);
    ${row.store(
      ({ d, v, at, i, k }) => /* wgsl */ `let d = ${d}; let n = ${v} * r;
      dx[${at}] = ${partial(at)}r * (d * weight[${i}] - n * mean_gn); ${sums(k)}`,
    )}`,
  });
});

const op = defineOp({
  name: "rmsNorm",
  partialOf: 0,
  forward([x, weight]: [Tensor, Tensor], { eps, variant }: { readonly eps: number; readonly variant: RowVariant }) {
    if (!sameShape(weight.shape, x.shape.slice(-1)))
      throw new Error(`rmsNorm: expected weight ${show(x.shape.slice(-1))} for x ${show(x.shape)}, got ${show(weight.shape)}`);
    const { config, grid } = rowPlan(x, variant);
    const { rows, len, groups } = grid;
    const outputs = { y: x, stats: [rows] };
    const { y, stats } = forwardKernel(config)({ inputs: { x, weight }, outputs, params: { rows, len, eps }, groups });
    return { y, saved: stats };
  },
  backward(dy, stats, [x, weight], { variant }, _, partial) {
    const { config, grid } = rowPlan(x, variant);
    const [dx, dweight] = backwardKernel(config)(grid, { dy, x, weight, stats }, partial);
    return [dx!, dweight!];
  },
});

/** x: (..., D); weight: (D). Returns (..., D). */
export const rmsNorm = (x: Tensor, weight: Tensor, { eps = 1e-6, variant }: RowOptions & { readonly eps?: number } = {}): Tensor =>
  op([x, weight], { eps, variant: rowVariant("rmsNorm", x, variant) });

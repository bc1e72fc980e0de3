/**
 * Distance in angle between rows: 1 - cosine, mean over the rows.
 *
 *   L = 1/R sum over rows of  1 - x . t / (max(|x|, eps) max(|t|, eps))
 *   dx = (c x / |x|^2 - t / (|x| |t|)) * dy / R,   c the row's cosine; the first term is 0 where |x| < eps
 *
 * No gradient flows to the target t. As PyTorch's `cosine_similarity`. For features of a teacher: Wei et al. 2022,
 * https://arxiv.org/abs/2205.14141; Ranzinger et al. 2023, https://arxiv.org/abs/2312.06709
 */
import { defineOp } from "../engine/autograd.ts";
import { defineKernel, kernelFamily } from "../engine/kernel.ts";
import { sameShape, show } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";
import { rowPlan, rowWords, vectors, type RowConfig } from "./rows/rows.ts";
import { rowVariant, type RowOptions, type RowVariant } from "./rows/variants.ts";
import { sumTo } from "./shared/reduce.ts";

const WG = 256;

const forwardKernel = kernelFamily(({ shape, W }: RowConfig) => {
  const { T, total } = vectors(W);
  const words = rowWords(shape);
  const row = words.row(T, { v: (at) => `x[${at}]`, t: (at) => `truth[${at}]` });
  return defineKernel({
    name: "cosineLoss.forward",
    ...words.threads,
    inputs: { x: T, truth: T }, // (R, D) each
    outputs: { losses: "f32", stats: "f32" }, // (R): each row's part of the mean; (R, 2): what dx has of x and of t
    params: { rows: "u32", len: "u32", eps: "f32", each: "f32" }, // len: vectors of a row
    code: words.code(/* wgsl */ `
    let first = row * p.len;
    ${row.load}
    var xx = 0.0;
    var tt = 0.0;
    var xt = 0.0;
    ${row.each(({ v, t }) => `let v = ${v}; let t = ${t}; xx += ${total("v * v")}; tt += ${total("t * t")}; xt += ${total("v * t")};`)}
    ${words.sum("xx", "tt", "xt")}
    let inverse = 1.0 / (max(sqrt(xx), p.eps) * max(sqrt(tt), p.eps));
    if (${words.leads}) {
      losses[row] = (1.0 - xt * inverse) * p.each;
      stats[row * 2u] = select(0.0, xt * inverse / max(xx, p.eps * p.eps), xx > p.eps * p.eps) * p.each;
      stats[row * 2u + 1u] = -inverse * p.each;
    }`),
  });
});

// One thread per vector.
const backwardKernel = kernelFamily(({ W }: Pick<RowConfig, "W">) => {
  const { T } = vectors(W);
  return defineKernel({
    name: "cosineLoss.backward",
    inputs: { x: T, truth: T, stats: "f32", dy: "f32" }, // (R, D) each, (R, 2), ()
    outputs: { dx: T }, // (R, D)
    params: { rows: "u32", len: "u32" },
    workgroup: { upTo: WG },
    code: /* wgsl */ `
    let i = group * WG + li;
    if (i < p.rows * p.len) {
      let row = i / p.len;
      dx[i] = (stats[row * 2u] * x[i] + stats[row * 2u + 1u] * truth[i]) * dy[0];
    }`,
  });
});

const op = defineOp({
  name: "cosineLoss",
  forward([x, target]: [Tensor, Tensor], { eps, variant }: { readonly eps: number; readonly variant: RowVariant }) {
    const { config, grid } = rowPlan(x, variant);
    const { rows, len, groups } = grid;
    const { losses, stats } = forwardKernel(config)({
      inputs: { x, truth: target },
      outputs: { losses: [rows], stats: [rows, 2] },
      ...{ params: { rows, len, eps, each: 1 / rows }, groups },
    });
    return { y: sumTo(losses, []), saved: stats };
  },
  backward(dy, stats, [x, target], { variant }) {
    const { config, grid } = rowPlan(x, variant);
    const { rows, len } = grid;
    const made = backwardKernel({ W: config.W })({
      inputs: { x, truth: target, stats, dy },
      outputs: { dx: x },
      ...{ params: { rows, len }, threads: rows * len },
    });
    return [made.dx, null];
  },
});

/** x, target: (..., D). Returns (): 0 where all rows point the same way, at most 2. Throws for unlike shapes and for a target with a gradient. */
export function cosineLoss(x: Tensor, target: Tensor, { eps = 1e-8, variant }: RowOptions & { readonly eps?: number } = {}): Tensor {
  if (x.shape.length === 0 || !sameShape(x.shape, target.shape) || target.requiresGrad)
    throw new Error(
      `cosineLoss: expected x and target [..,D] alike, the target without gradient, got ${show(x.shape)} and ${show(target.shape)}${target.requiresGrad ? " with" : ""}`,
    );
  return op([x, target], { eps, variant: rowVariant("cosineLoss", x, variant) });
}

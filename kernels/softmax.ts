/**
 * Softmax and its logarithm over the last axis.
 *
 *   softmax:     y = exp(x - max) / sum exp(x - max)       dx = y * (dy - sum(dy * y))
 *   logSoftmax:  y = x - max - log sum exp(x - max)        dx = dy - exp(y) * sum(dy)
 *
 * The row's maximum keeps exp in range: Bridle 1990, "Probabilistic interpretation of feedforward classification network
 * outputs", https://doi.org/10.1007/978-3-642-76153-9_28; Goodfellow et al. 2016, section 4.1, https://www.deeplearningbook.org
 */
import { defineOp } from "../engine/autograd.ts";
import { defineKernel, kernelFamily } from "../engine/kernel.ts";
import { show } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";
import { rowVariant, rowWords, type RowVariant } from "./rows.ts";

interface Config {
  readonly log: boolean;
  readonly variant: RowVariant;
  /** Elements per load. */
  readonly W: 1 | 4;
}

// One workgroup or one thread per row, see rows.ts. `p.len` counts vectors.
const kernels = kernelFamily(({ log, variant, W }: Config) => {
  const w = rowWords[variant];
  const T = W === 4 ? "vec4f" : "f32";
  const total = (v: string) => (W === 4 ? `dot(${v}, vec4f(1.0))` : v);
  const most = (v: string) => (W === 4 ? `max(max(${v}.x, ${v}.y), max(${v}.z, ${v}.w))` : v);
  const walk = (body: string) => `for (var i = first + ${w.first}; i < first + p.len; i += ${w.step}) { ${body} }`;
  const name = log ? "logSoftmax" : "softmax";
  const common = { params: { rows: "u32", len: "u32" }, workgroup: w.workgroup, helpers: w.helpers } as const;
  return {
    forward: defineKernel({
      ...common, name: `${name}.forward`, inputs: { x: T }, outputs: { y: T }, // (N, D), (N, D)
      code: w.code(/* wgsl */ `
    let first = row * p.len;
    var m = -3.4e38;
    ${walk(`let v = x[i]; m = max(m, ${most("v")});`)}
    m = ${w.max("m")};
    var s = 0.0;
    ${walk(`s += ${total(`exp(x[i] - ${T}(m))`)};`)}
    s = ${w.sum("s")};
    ${log ? `let shift = m + log(s); ${walk(`y[i] = x[i] - ${T}(shift);`)}` : `let r = 1.0 / s; ${walk(`y[i] = exp(x[i] - ${T}(m)) * r;`)}`}`),
    }),
    backward: defineKernel({
      ...common, name: `${name}.backward`, inputs: { y: T, dy: T }, outputs: { dx: T }, // (N, D), (N, D), (N, D)
      code: w.code(/* wgsl */ `
    let first = row * p.len;
    var s = 0.0;
    ${walk(`s += ${total(log ? "dy[i]" : "dy[i] * y[i]")};`)}
    s = ${w.sum("s")};
    ${walk(log ? "dx[i] = dy[i] - exp(y[i]) * s;" : `dx[i] = y[i] * (dy[i] - ${T}(s));`)}`),
    }),
  };
});

function run(x: Tensor, log: boolean, variant: RowVariant) {
  const D = x.shape.at(-1)!;
  const rows = x.size / D;
  const W = D % 4 === 0 ? 4 : 1;
  return { ...kernels({ log, variant, W }), grid: { params: { rows, len: D / W }, groups: rowWords[variant].groups(rows) } };
}

const op = (name: string, log: boolean) => defineOp({
  name,
  forward([x]: [Tensor], { variant }: { variant: RowVariant }) {
    if (x.shape.length === 0) throw new Error(`${name}: expected at least one axis, got ${show(x.shape)}`);
    const { forward, grid } = run(x, log, variant);
    const { y } = forward({ ...grid, inputs: { x }, outputs: { y: x.shape }, store: { y: x.dtype } });
    return { y, saved: y };
  },
  backward(dy, y, [x], { variant }) {
    const { backward, grid } = run(x, log, variant);
    return [backward({ ...grid, inputs: { y, dy }, outputs: { dx: x.shape }, store: { dx: x.dtype } }).dx];
  },
});

const softmaxOp = op("softmax", false);
const logSoftmaxOp = op("logSoftmax", true);

/** The softmax of each row, and its gradient from its result: parts of other operations, not ones of their own. */
export function softmaxRows(x: Tensor): Tensor {
  const { forward, grid } = run(x, false, rowVariant("softmax", x));
  return forward({ ...grid, inputs: { x }, outputs: { y: x.shape }, store: { y: x.dtype } }).y;
}
export function softmaxRowsBackward(y: Tensor, dy: Tensor): Tensor {
  const { backward, grid } = run(y, false, rowVariant("softmax", y));
  return backward({ ...grid, inputs: { y, dy }, outputs: { dx: y.shape }, store: { dx: y.dtype } }).dx;
}

export interface RowOptions {
  /** Chosen by the adapter unless given. */
  readonly variant?: RowVariant;
}

/** x: (..., D). Returns (..., D), each row non-negative with sum 1. */
export const softmax = (x: Tensor, options: RowOptions = {}): Tensor => softmaxOp([x], { variant: rowVariant("softmax", x, options.variant) });

/** x: (..., D). Returns (..., D), the logarithm of softmax(x). */
export const logSoftmax = (x: Tensor, options: RowOptions = {}): Tensor => logSoftmaxOp([x], { variant: rowVariant("logSoftmax", x, options.variant) });

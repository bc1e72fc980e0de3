/**
 * The WGSL of softmax and its logarithm; softmax.ts has the formulas. Apart from it for attention-products.ts, whose
 * backward pass needs the kernels and not the operation.
 */
import { defineKernel, kernelFamily } from "../engine/kernel.ts";
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

/** The kernels for rows of x, and how to launch them. */
export function softmaxKernels(x: Tensor, log: boolean, variant: RowVariant) {
  const D = x.shape.at(-1)!;
  const rows = x.size / D;
  const W = D % 4 === 0 ? 4 : 1;
  return { ...kernels({ log, variant, W }), grid: { params: { rows, len: D / W }, groups: rowWords[variant].groups(rows) } };
}

/** The softmax of each row, and its gradient from its result. */
export function softmaxRows(x: Tensor): Tensor {
  const { forward, grid } = softmaxKernels(x, false, rowVariant("softmax", x));
  return forward({ ...grid, inputs: { x }, outputs: { y: x.shape }, store: { y: x.dtype } }).y;
}
export function softmaxRowsBackward(y: Tensor, dy: Tensor): Tensor {
  const { backward, grid } = softmaxKernels(y, false, rowVariant("softmax", y));
  return backward({ ...grid, inputs: { y, dy }, outputs: { dx: y.shape }, store: { dx: y.dtype } }).dx;
}

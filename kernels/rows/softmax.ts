/** The WGSL of softmax and its logarithm (kernels/softmax.ts has the formulas). */
import { defineKernel, kernelFamily } from "../../engine/kernel.ts";
import type { Tensor } from "../../engine/tensor.ts";
import { rowPlan, rowWords, vectors, type RowConfig } from "./rows.ts";
import type { RowVariant } from "./variants.ts";

interface Config extends RowConfig {
  readonly log: boolean;
}

// `p.len` counts vectors.
const kernels = kernelFamily(({ log, shape, W }: Config) => {
  const w = rowWords(shape);
  const { T, total, most } = vectors(W);
  const name = log ? "logSoftmax" : "softmax";
  const common = { params: { rows: "u32", len: "u32" }, ...w.threads } as const;
  const of = (array: string) => (at: string) => `${array}[${at}]`;
  const given = w.row(T, { v: of("x") });
  const made = w.row(T, { v: of("y"), d: of("dy") });
  return {
    forward: defineKernel({
      ...common,
      name: `${name}.forward`,
      inputs: { x: T },
      outputs: { y: T }, // (N, D), (N, D)
      code: w.code(/* wgsl */ `
    let first = row * p.len;
    ${given.load}
    var m = -3.4e38;
    ${given.each(({ v }) => `let a = ${v}; m = max(m, ${most("a")});`)}
    ${w.max("m")}
    var s = 0.0;
    ${given.each(({ v }) => `s += ${total(`exp(${v} - ${T}(m))`)};`)}
    ${w.sum("s")}
    ${log ? `let shift = m + log(s); ${given.store(({ v, at }) => `y[${at}] = ${v} - ${T}(shift);`)}` : `let r = 1.0 / s; ${given.store(({ v, at }) => `y[${at}] = exp(${v} - ${T}(m)) * r;`)}`}`),
    }),
    backward: defineKernel({
      ...common,
      name: `${name}.backward`,
      inputs: { y: T, dy: T },
      outputs: { dx: T }, // (N, D), (N, D), (N, D)
      code: w.code(/* wgsl */ `
    let first = row * p.len;
    ${made.load}
    var s = 0.0;
    ${made.each(({ v, d }) => `s += ${total(log ? d : `${d} * ${v}`)};`)}
    ${w.sum("s")}
    ${made.store(({ v, d, at }) => `dx[${at}] = ${log ? `${d} - exp(${v}) * s` : `${v} * (${d} - ${T}(s))`};`)}`),
    }),
  };
});

/** The kernels for rows of x, and how to launch them. */
export function softmaxKernels(x: Tensor, log: boolean, variant: RowVariant) {
  const { config, grid } = rowPlan(x, variant);
  return { ...kernels({ log, ...config }), grid: { params: { rows: grid.rows, len: grid.len }, groups: grid.groups } };
}

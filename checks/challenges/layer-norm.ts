import { layerNorm } from "../../kernels/layer-norm.ts";
import type { Challenge } from "../challenge.ts";
import { layerNormReference } from "../reference/rows.ts";

export const EPS = 1e-6;

export const challenge: Challenge = {
  title: "Layer norm, forward",
  formula: "y[row, i] = (x[row, i] - mean) / sqrt(var + eps) * weight[i] + bias[i], mean and variance over the row",
  hint: "Three walks over the row, one float at a time. Read vec4f where D is a multiple of 4 (x: vec4f, only D%4 = 0), share a row among threads, or keep it in registers. The mean of squares minus the squared mean takes one walk less and loses all digits where the mean is large: it is checked.",
  op: "layerNorm",
  inputs: { x: "[rows,D]", weight: "[D]", bias: "[D]" },
  outputs: { y: "[rows,D]" },
  constants: { eps: EPS },
  published: { software: { rows: 788, D: 192 }, gpu: { rows: 12608, D: 192 } },
  hidden: { rows: [1, 131], D: [2, 700] },
  start: /* wgsl */ `// Layer norm over rows. One thread per row, which goes over it three times.

// kernel: reads x, weight, bias; writes y; threads rows; workgroup 64
fn main() {
  let row = group * WG + li;
  if (row >= p.rows) { return; }
  let first = row * p.D;
  var sum = 0.0;
  for (var i = 0u; i < p.D; i++) { sum += x[first + i]; }
  let mean = sum / f32(p.D);
  var squares = 0.0;
  for (var i = 0u; i < p.D; i++) {
    let d = x[first + i] - mean;
    squares += d * d;
  }
  let scale = 1.0 / sqrt(squares / f32(p.D) + p.eps);
  for (var i = 0u; i < p.D; i++) { y[first + i] = (x[first + i] - mean) * scale * weight[i] + bias[i]; }
}
`,
  stretched: { x: (u) => 100 + u },
  reference: ({ x, weight, bias }, { D }) => ({ y: layerNormReference(D!, EPS)(x!, weight!, bias!) }),
  shipped:
    ({ x, weight, bias }) =>
    () => ({ y: layerNorm(x!, weight!, bias!, { eps: EPS }) }),
};

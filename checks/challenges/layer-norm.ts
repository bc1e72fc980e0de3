import { layerNorm } from "../../kernels/layer-norm.ts";
import type { Challenge } from "../challenge.ts";
import { layerNormReference } from "../reference/rows.ts";

export const EPS = 1e-6;

export const challenge: Challenge = {
  title: "Layer norm, forward",
  formula: "y[row, i] = (x[row, i] - mean) / sqrt(var + eps) * weight[i] + bias[i], mean and variance over the row",
  hint: "Every thread computes its row's mean and variance again. Let a thread, or a workgroup, have a whole row and compute both once; then read vec4f where D is a multiple of 4 (x: vec4f, only D%4 = 0), and keep the row in registers. The mean of squares minus the squared mean takes one walk less and loses all digits where the mean is large: it is checked.",
  op: "layerNorm",
  inputs: { x: "[rows,D]", weight: "[D]", bias: "[D]" },
  outputs: { y: "[rows,D]" },
  constants: { eps: EPS },
  published: { software: { rows: 197, D: 192 }, gpu: { rows: 12608, D: 192 } },
  hidden: { rows: [1, 131], D: [2, 700] },
  start: /* wgsl */ `// Layer norm over rows. One thread per element, straight from the formula.

// kernel: reads x, weight, bias; writes y; threads rows*D; workgroup 64
fn main() {
  let at = group * WG + li;
  if (at >= p.rows * p.D) { return; }
  let first = at / p.D * p.D; // where the element's row begins
  var sum = 0.0;
  for (var i = 0u; i < p.D; i++) { sum += x[first + i]; }
  let mean = sum / f32(p.D);
  var squares = 0.0;
  for (var i = 0u; i < p.D; i++) {
    let d = x[first + i] - mean;
    squares += d * d;
  }
  let scale = 1.0 / sqrt(squares / f32(p.D) + p.eps);
  y[at] = (x[at] - mean) * scale * weight[at - first] + bias[at - first];
}
`,
  stretched: { x: (u) => 100 + u },
  reference: ({ x, weight, bias }, { D }) => ({ y: layerNormReference(D!, EPS)(x!, weight!, bias!) }),
  shipped:
    ({ x, weight, bias }) =>
    () => ({ y: layerNorm(x!, weight!, bias!, { eps: EPS }) }),
};

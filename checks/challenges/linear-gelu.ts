import { linear } from "../../kernels/linear.ts";
import type { Challenge } from "../challenge.ts";
import { linearReference } from "../reference/matmul.ts";

export const challenge: Challenge = {
  title: "A linear layer with GELU in the same kernel",
  formula: "y[row, o] = gelu(bias[o] + sum over i of x[row, i] * weight[o, i]), gelu(u) = u / 2 * (1 + erf(u / sqrt(2)))",
  hint: "Fusing saves writing the sums and reading them again, and the start does that already. What is left is a matrix product with the second matrix transposed: see the two challenges about GEMM.",
  op: "linear",
  inputs: { x: "[rows,I]", weight: "[O,I]", bias: "[O]" },
  outputs: { y: "[rows,O]" },
  published: { software: { rows: 197, I: 192, O: 384 }, gpu: { rows: 3152, I: 192, O: 768 } },
  hidden: { rows: [1, 100], I: [2, 120], O: [1, 100] },
  start: /* wgsl */ `// y = gelu(x weight^T + bias). One thread per element of y.

// kernel: reads x, weight, bias; writes y; threads rows*O; workgroup 64
// WGSL has no erf: to 1.5e-7 by Abramowitz and Stegun 7.1.26.
fn erf(u: f32) -> f32 {
  let t = 1.0 / (1.0 + 0.3275911 * abs(u));
  let series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  return sign(u) * (1.0 - series * exp(-u * u));
}

fn main() {
  let at = group * WG + li;
  if (at >= p.rows * p.O) { return; }
  let row = at / p.O;
  let o = at % p.O;
  var sum = bias[o];
  for (var i = 0u; i < p.I; i++) { sum += x[row * p.I + i] * weight[o * p.I + i]; }
  y[at] = 0.5 * sum * (1.0 + erf(sum * 0.70710678));
}
`,
  reference: ({ x, weight, bias }, { rows, I, O }) => ({
    y: linearReference({ rows: rows!, I: I!, O: O!, activation: "gelu" })(x!, weight!, bias),
  }),
  shipped:
    ({ x, weight, bias }) =>
    () => ({ y: linear(x!, weight!, bias!, { activation: "gelu" }) }),
};

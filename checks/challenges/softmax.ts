import { softmax } from "../../kernels/softmax.ts";
import type { Challenge } from "../challenge.ts";
import { softmaxReference } from "../reference/rows.ts";

export const challenge: Challenge = {
  title: "Softmax",
  formula: "y[row, i] = exp(x[row, i] - max) / (sum over k of exp(x[row, k] - max)), with the row's maximum",
  hint: "Every thread computes its row's maximum and sum again. Let a thread, or a workgroup, have a whole row, compute both once and keep what it read; or go over the row once with a running maximum (Milakov and Gimelshein 2018, https://arxiv.org/abs/1805.02867).",
  op: "softmax",
  inputs: { x: "[rows,D]" },
  outputs: { y: "[rows,D]" },
  published: { software: { rows: 197, D: 197 }, gpu: { rows: 37824, D: 197 } },
  hidden: { rows: [1, 131], D: [2, 700] },
  start: /* wgsl */ `// Softmax over rows. One thread per element, straight from the formula.

// kernel: reads x; writes y; threads rows*D; workgroup 64
fn main() {
  let at = group * WG + li;
  if (at >= p.rows * p.D) { return; }
  let first = at / p.D * p.D; // where the element's row begins
  // The maximum keeps exp in range: exp(x) alone overflows from x = 89 on.
  var most = x[first];
  for (var i = 1u; i < p.D; i++) { most = max(most, x[first + i]); }
  var sum = 0.0;
  for (var i = 0u; i < p.D; i++) { sum += exp(x[first + i] - most); }
  y[at] = exp(x[at] - most) / sum;
}
`,
  stretched: { x: (u) => 150 * u },
  reference: ({ x }, { D }) => ({ y: softmaxReference(D!)(x!) }),
  shipped:
    ({ x }) =>
    () => ({ y: softmax(x!) }),
};

import { softmax } from "../../kernels/softmax.ts";
import type { Challenge } from "../challenge.ts";
import { softmaxReference } from "../reference/rows.ts";

export const challenge: Challenge = {
  title: "Softmax",
  formula: "y[row, i] = exp(x[row, i] - max) / (sum over k of exp(x[row, k] - max)), with the row's maximum",
  hint: "The row is read three times and each exp is taken twice. Keep what was read, or go over the row once with a running maximum (Milakov and Gimelshein 2018, https://arxiv.org/abs/1805.02867).",
  op: "softmax",
  inputs: { x: "[rows,D]" },
  outputs: { y: "[rows,D]" },
  published: { software: { rows: 2364, D: 197 }, gpu: { rows: 37824, D: 197 } },
  hidden: { rows: [1, 131], D: [2, 700] },
  start: /* wgsl */ `// Softmax over rows. One thread per row, which goes over it three times.

// kernel: reads x; writes y; threads rows; workgroup 64
fn main() {
  let row = group * WG + li;
  if (row >= p.rows) { return; }
  let first = row * p.D;
  // The maximum keeps exp in range: exp(x) alone overflows from x = 89 on.
  var most = x[first];
  for (var i = 1u; i < p.D; i++) { most = max(most, x[first + i]); }
  var sum = 0.0;
  for (var i = 0u; i < p.D; i++) { sum += exp(x[first + i] - most); }
  for (var i = 0u; i < p.D; i++) { y[first + i] = exp(x[first + i] - most) / sum; }
}
`,
  stretched: { x: (u) => 150 * u },
  reference: ({ x }, { D }) => ({ y: softmaxReference(D!)(x!) }),
  shipped:
    ({ x }) =>
    () => ({ y: softmax(x!) }),
};

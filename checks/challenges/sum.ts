/** The closest of the catalog to a sum of rows is the mean over an image's pixels. */
import { globalAvgPool } from "../../kernels/global-avg-pool.ts";
import { reshape } from "../../kernels/movement.ts";
import type { Challenge } from "../challenge.ts";
import { poolReference } from "../reference/conv.ts";

export const challenge: Challenge = {
  title: "Reduction: the sum of each row",
  formula: "y[row] = (x[row, 0] + x[row, 1] + ... + x[row, D - 1]) / D",
  hint: "Neighbouring threads read addresses that lie D apart, and there are only as many threads as rows. Let a workgroup share a row: each thread sums a part, then the parts are added in workgroup memory.",
  op: "globalAvgPool",
  inputs: { x: "[rows,D]" },
  outputs: { y: "[rows]" },
  published: { software: { rows: 416, D: 784 }, gpu: { rows: 13312, D: 784 } },
  hidden: { rows: [1, 131], D: [2, 3000] },
  start: /* wgsl */ `// The mean of each row. One thread per row.

// kernel: reads x; writes y; threads rows; workgroup 64
fn main() {
  let row = group * WG + li;
  if (row >= p.rows) { return; }
  var sum = 0.0;
  for (var i = 0u; i < p.D; i++) { sum += x[row * p.D + i]; }
  y[row] = sum / f32(p.D);
}
`,
  reference: ({ x }, { D }) => ({ y: poolReference(D!)(x!) }),
  shipped: ({ x }, { rows, D }) => {
    const image = reshape(x!, [1, rows!, 1, D!]);
    return () => ({ y: globalAvgPool(image) });
  },
};

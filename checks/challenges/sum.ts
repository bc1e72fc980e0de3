/** The closest of the catalog to a sum of rows is the mean over an image's pixels. */
import { globalAvgPool } from "../../kernels/global-avg-pool.ts";
import { reshape } from "../../kernels/movement.ts";
import type { Challenge } from "../challenge.ts";
import { poolReference } from "../reference/conv.ts";

export const challenge: Challenge = {
  title: "Reduction: the sum of each row",
  formula: "y[row] = (x[row, 0] + x[row, 1] + ... + x[row, D - 1]) / D",
  hint: "A workgroup of one thread leaves all other lanes of its unit idle. Give each thread of a workgroup of 64 a row of its own, or let the workgroup share a row: each thread sums a part, then the parts are added in workgroup memory.",
  op: "globalAvgPool",
  inputs: { x: "[rows,D]" },
  outputs: { y: "[rows]" },
  published: { software: { rows: 416, D: 784 }, gpu: { rows: 13312, D: 784 } },
  hidden: { rows: [1, 131], D: [2, 3000] },
  start: /* wgsl */ `// The mean of each row. One workgroup per row, of a single thread.

// kernel: reads x; writes y; groups rows; workgroup 1
fn main() {
  let row = group; // the workgroup's number
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

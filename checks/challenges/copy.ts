/** The catalog has no bare copy: ReLU reads and writes the same bytes. */
import { relu } from "../../kernels/elementwise.ts";
import type { Challenge } from "../challenge.ts";

export const challenge: Challenge = {
  title: "Copy",
  formula: "y[i] = max(x[i], 0): a copy that cuts at zero",
  hint: "Nothing is computed, so that memory is all that counts. One element per thread is many threads with little to do each: let a thread take several, or read vec4f where the length is a multiple of 4 (x: vec4f, only N%4 = 0).",
  op: "relu",
  inputs: { x: "[N]" },
  outputs: { y: "[N]" },
  published: { software: { N: 524288 }, gpu: { N: 8388608 } },
  hidden: { N: [1, 70001] },
  start: /* wgsl */ `// y = max(x, 0). One thread per element.

// kernel: reads x; writes y; threads N; workgroup 64
fn main() {
  let i = group * WG + li; // the thread's number among all
  if (i >= p.N) { return; } // whole workgroups are launched: some threads have no element
  y[i] = max(x[i], 0.0);
}
`,
  reference: ({ x }) => ({ y: x!.map((v) => Math.max(v, 0)) }),
  tolerance: 0,
  shipped:
    ({ x }) =>
    () => ({ y: relu(x!) }),
};

import { matmul } from "../../kernels/matmul.ts";
import type { Challenge } from "../challenge.ts";
import { matmulReference } from "../reference/matmul.ts";

export const challenge: Challenge = {
  title: "GEMM, from naive to tiles in workgroup memory",
  formula: "y[m, n] = sum over k of a[m, k] * b[k, n]",
  hint: "Each number of a is read N times from memory, each of b M times. Let a workgroup load a tile of a and a tile of b into workgroup memory, pass a barrier, and use each number as often as the tile is wide.",
  op: "matmul",
  inputs: { a: "[M,K]", b: "[K,N]" },
  outputs: { y: "[M,N]" },
  published: { software: { M: 256, N: 256, K: 256 }, gpu: { M: 1024, N: 1024, K: 1024 } },
  hidden: { M: [1, 150], N: [1, 150], K: [2, 150] },
  start: /* wgsl */ `// y = a b. One thread per element of y.

// kernel: reads a, b; writes y; threads M*N; workgroup 64
fn main() {
  let i = group * WG + li;
  if (i >= p.M * p.N) { return; }
  let m = i / p.N;
  let n = i % p.N;
  var sum = 0.0;
  for (var k = 0u; k < p.K; k++) { sum += a[m * p.K + k] * b[k * p.N + n]; }
  y[i] = sum;
}
`,
  reference: ({ a, b }, { M, N, K }) => ({ y: matmulReference([M!, K!], [K!, N!])(a!, b!) }),
  shipped:
    ({ a, b }) =>
    () => ({ y: matmul(a!, b!) }),
};

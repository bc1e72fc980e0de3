import type { Challenge } from "../challenge.ts";
import { challenge as tiles } from "./gemm-tiles.ts";

/** The same product; it starts where the challenge before ends. */
export const challenge: Challenge = {
  ...tiles,
  title: "GEMM, from tiles to registers",
  hint: "Two loads from workgroup memory for each multiplication. Let each thread compute a block of y, 4 x 4 or more, in registers: a block's row and column are loaded once and used four times. On adapters whose workgroup memory is plain memory, as those that a processor plays, blocks without tiles are faster still.",
  start: /* wgsl */ `// y = a b in tiles of 16 x 16: each workgroup computes one, and walks over a and b in steps of 16.

// kernel: reads a, b; writes y; groups ceil(M/16)*ceil(N/16); workgroup 256
var<workgroup> tile_a: array<f32, 256>;
var<workgroup> tile_b: array<f32, 256>;

fn main() {
  let across = (p.N + 15u) / 16u; // tiles in a row of y
  let r = li / 16u; // the thread's place in the tile
  let c = li % 16u;
  let m = group / across * 16u + r;
  let n = group % across * 16u + c;
  var sum = 0.0;
  for (var k = 0u; k < p.K; k += 16u) {
    // What lies outside of a or b counts as zero. Every thread takes part in the barriers, those outside of y too.
    tile_a[li] = select(0.0, a[min(m, p.M - 1u) * p.K + min(k + c, p.K - 1u)], m < p.M && k + c < p.K);
    tile_b[li] = select(0.0, b[min(k + r, p.K - 1u) * p.N + min(n, p.N - 1u)], k + r < p.K && n < p.N);
    workgroupBarrier(); // the tiles are whole
    for (var i = 0u; i < 16u; i++) { sum += tile_a[r * 16u + i] * tile_b[i * 16u + c]; }
    workgroupBarrier(); // nobody reads them any more
  }
  if (m < p.M && n < p.N) { y[m * p.N + n] = sum; }
}
`,
};

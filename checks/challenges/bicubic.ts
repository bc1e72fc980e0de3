/** The catalog's bicubic resize of floats: a position embedding's, without tokens before its grid. */
import { reshape } from "../../kernels/movement.ts";
import { resizePosEmbed } from "../../kernels/resize-pos-embed.ts";
import type { Challenge } from "../challenge.ts";
import { resizePosEmbedReference } from "../reference/resize.ts";

export const challenge: Challenge = {
  title: "Bicubic resize",
  formula:
    "a grid of side x side rows of D channels becomes height x width: y[Y, X] = sum over i, j of c(u - i) c(v - j) x[i, j] with u = side / height * (Y + 1/2) - 1/2 and v alike, edges repeated; c(t) = (a + 2) |t|^3 - (a + 3) |t|^2 + 1 up to |t| = 1, a (|t|^3 - 5 |t|^2 + 8 |t| - 4) up to 2, and 0 beyond, with a = -0.75",
  hint: "The start goes over the whole grid, where 4 x 4 neighbours count. Their eight weights are the same for a whole row of D: compute them once, or go over the grid by one axis after the other.",
  op: "resizePosEmbed",
  inputs: { x: "[side*side,D]" },
  outputs: { y: "[height*width,D]" },
  published: { software: { side: 14, D: 64, height: 24, width: 24 }, gpu: { side: 56, D: 192, height: 96, width: 96 } },
  hidden: { side: [1, 19], D: [1, 70], height: [1, 33], width: [1, 33] },
  start: /* wgsl */ `// One thread per number of y, straight from the formula.

// kernel: reads x; writes y; threads height*width*D; workgroup 64
const A = -0.75;

// The weight of a neighbour at this distance (Keys 1981).
fn cubic(distance: f32) -> f32 {
  let t = abs(distance);
  if (t <= 1.0) { return ((A + 2.0) * t - (A + 3.0)) * t * t + 1.0; }
  if (t < 2.0) { return A * (((t - 5.0) * t + 8.0) * t - 4.0); }
  return 0.0;
}

// A row or column of the grid; beyond its edges the last one again.
fn edge(at: i32) -> u32 { return u32(clamp(at, 0, i32(p.side) - 1)); }

fn main() {
  let at = group * WG + li;
  if (at >= p.height * p.width * p.D) { return; }
  let d = at % p.D;
  let X = at / p.D % p.width;
  let Y = at / p.D / p.width;
  let u = f32(p.side) / f32(p.height) * (f32(Y) + 0.5) - 0.5;
  let v = f32(p.side) / f32(p.width) * (f32(X) + 0.5) - 0.5;
  var sum = 0.0;
  for (var i = -2; i < i32(p.side) + 2; i++) {
    for (var j = -2; j < i32(p.side) + 2; j++) {
      sum += cubic(u - f32(i)) * cubic(v - f32(j)) * x[(edge(i) * p.side + edge(j)) * p.D + d];
    }
  }
  y[at] = sum;
}
`,
  reference: ({ x }, { D, height, width }) => ({ y: resizePosEmbedReference(x!, D!, 0, height!, width!) }),
  shipped({ x }, { side, D, height, width }) {
    const grid = reshape(x!, [1, side! ** 2, D!]);
    return () => ({ y: resizePosEmbed(grid, { prefix: 0, height: height!, width: width! }) });
  },
};

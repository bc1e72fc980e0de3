import { gradients } from "../../engine/autograd.ts";
import { Tensor } from "../../engine/tensor.ts";
import { layerNorm } from "../../kernels/layer-norm.ts";
import type { Challenge } from "../challenge.ts";
import { EPS } from "./layer-norm.ts";

export const challenge: Challenge = {
  title: "Layer norm, backward",
  formula:
    "with n = (x - mean) * rstd and g = dy * weight: dx = rstd * (g - mean(g) - n * mean(g * n)) over each row, dweight = sum over rows of dy * n, dbias = sum over rows of dy; stats[row] = (mean, rstd) as the forward left them",
  hint: "For dx every thread computes its row's two means again; dweight and dbias have but one thread per column, and read everything once more. Let each workgroup take a stripe of rows, do dx and its part of both sums in one walk, and add the parts in a second kernel.",
  op: "layerNorm",
  inputs: { dy: "[rows,D]", x: "[rows,D]", weight: "[D]", stats: "[rows,2]" },
  outputs: { dx: "[rows,D]", dweight: "[D]", dbias: "[D]" },
  published: { software: { rows: 197, D: 192 }, gpu: { rows: 12608, D: 192 } },
  hidden: { rows: [1, 400], D: [2, 300] },
  start: /* wgsl */ `// dx: one thread per element, straight from the formula.

// kernel: reads dy, x, weight, stats; writes dx; threads rows*D; workgroup 64
fn main() {
  let at = group * WG + li;
  if (at >= p.rows * p.D) { return; }
  let row = at / p.D;
  let first = row * p.D;
  let mean = stats[2u * row];
  let rstd = stats[2u * row + 1u];
  var mean_g = 0.0;
  var mean_gn = 0.0;
  for (var i = 0u; i < p.D; i++) {
    let g = dy[first + i] * weight[i];
    mean_g += g;
    mean_gn += g * (x[first + i] - mean) * rstd;
  }
  mean_g /= f32(p.D);
  mean_gn /= f32(p.D);
  let n = (x[at] - mean) * rstd;
  dx[at] = rstd * (dy[at] * weight[at - first] - mean_g - n * mean_gn);
}

// dweight and dbias: one thread per column, which goes over all rows.

// kernel: reads dy, x, stats; writes dweight, dbias; threads D; workgroup 64
fn main() {
  let i = group * WG + li;
  if (i >= p.D) { return; }
  var sum_weight = 0.0;
  var sum_bias = 0.0;
  for (var row = 0u; row < p.rows; row++) {
    let d = dy[row * p.D + i];
    sum_weight += d * (x[row * p.D + i] - stats[2u * row]) * stats[2u * row + 1u];
    sum_bias += d;
  }
  dweight[i] = sum_weight;
  dbias[i] = sum_bias;
}
`,
  derive({ x }, { rows, D }) {
    const stats = new Float64Array(2 * rows!);
    for (let row = 0; row < rows!; row++) {
      const values = x!.subarray(row * D!, (row + 1) * D!);
      const mean = values.reduce((a, b) => a + b, 0) / D!;
      const variance = values.reduce((a, b) => a + (b - mean) ** 2, 0) / D!;
      stats.set([mean, 1 / Math.sqrt(variance + EPS)], 2 * row);
    }
    return { stats };
  },
  reference({ dy, x, weight, stats }, { rows, D }) {
    const [dx, dweight, dbias] = [new Float64Array(rows! * D!), new Float64Array(D!), new Float64Array(D!)];
    for (let row = 0; row < rows!; row++) {
      const [mean, rstd] = [stats![2 * row]!, stats![2 * row + 1]!];
      const n = (i: number) => (x![row * D! + i]! - mean) * rstd;
      const g = (i: number) => dy![row * D! + i]! * weight![i]!;
      let [meanG, meanGn] = [0, 0];
      for (let i = 0; i < D!; i++) {
        meanG += g(i) / D!;
        meanGn += (g(i) * n(i)) / D!;
        dweight[i]! += dy![row * D! + i]! * n(i);
        dbias[i]! += dy![row * D! + i]!;
      }
      for (let i = 0; i < D!; i++) dx[row * D! + i] = rstd * (g(i) - meanG - n(i) * meanGn);
    }
    return { dx, dweight, dbias };
  },
  shipped({ dy, x, weight }) {
    const wanted = [x!, weight!, Tensor.zeros(weight!.shape)] as const;
    for (const t of wanted) t.requiresGrad = true;
    const y = layerNorm(...wanted, { eps: EPS });
    return () => {
      const [dx, dweight, dbias] = gradients(y, wanted, dy!);
      return { dx: dx!, dweight: dweight!, dbias: dbias! };
    };
  },
};

/** A new operation, whole: what the page's button "Worked example" fills in. */
import type { Draft } from "../../../jobs/lab/draft-text.ts";

const FORWARD = `let row = group * WG + li; // one thread per row
if (row >= p.rows) { return; }
var sum = 0.0;
for (var i = row * p.D; i < (row + 1u) * p.D; i++) { sum += x[i] * x[i]; }
let r = inverseSqrt(sum / f32(p.D) + p.eps);
for (var i = 0u; i < p.D; i++) { y[row * p.D + i] = x[row * p.D + i] * r * weight[i]; }
scale[row] = r;`;

const BACKWARD_X = `let row = group * WG + li;
if (row >= p.rows) { return; }
var sum = 0.0;
for (var i = 0u; i < p.D; i++) { sum += dy[row * p.D + i] * weight[i] * x[row * p.D + i]; }
let r = scale[row];
let mean = sum * r * r / f32(p.D);
for (var i = 0u; i < p.D; i++) {
  let at = row * p.D + i;
  dx[at] = r * (dy[at] * weight[i] - x[at] * mean);
}`;

const BACKWARD_WEIGHT = `let i = group * WG + li; // one thread per column
if (i >= p.D) { return; }
var sum = 0.0;
for (var row = 0u; row < p.rows; row++) { sum += dy[row * p.D + i] * x[row * p.D + i] * scale[row]; }
dweight[i] = sum;`;

const REFERENCE = `const y = new Float64Array(x.length);
for (let from = 0; from < x.length; from += D) {
  let sum = 0;
  for (let i = from; i < from + D; i++) sum += x[i] ** 2;
  const rms = Math.sqrt(sum / D + eps);
  for (let i = 0; i < D; i++) y[from + i] = (x[from + i] / rms) * weight[i];
}
return y;`;

const kernel = { by: "threads", workgroup: 64, helpers: "" } as const;

export const workedExample: Draft = {
  name: "rmsNorm",
  formula:
    "Root mean square norm: y = x / sqrt(mean(x^2) + eps) * weight over the last axis. Zhang and Sennrich 2019, https://arxiv.org/abs/1910.07467",
  inputs: "x [..,D], weight [D]",
  output: "y [..,D]",
  attrs: "eps = 1e-6",
  kernels: [
    { ...kernel, pass: "forward", reads: "x, weight", writes: "y, scale [..]", count: "rows", body: FORWARD },
    { ...kernel, pass: "backward", reads: "dy, x, weight, scale", writes: "dx", count: "rows", body: BACKWARD_X },
    { ...kernel, pass: "backward", reads: "dy, x, scale", writes: "dweight", count: "D", body: BACKWARD_WEIGHT },
  ],
  reference: REFERENCE,
  sizes: "1x5, 3x7x100, 2051x8",
  timed: "788x192",
};

/** Every field empty but what most kernels have. */
export const emptyDraft: Draft = {
  name: "",
  formula: "",
  inputs: "",
  output: "y [..]",
  attrs: "",
  kernels: [{ ...kernel, pass: "forward", reads: "", writes: "y", count: "rows", body: "" }],
  reference: "",
  sizes: "",
  timed: "",
};

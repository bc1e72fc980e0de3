import { rows } from "./rows.ts";

/** Rows of D by their root mean square. */
export const rmsNormReference = (D: number, eps: number) => (x: Float64Array, weight: Float64Array) =>
  rows(D, (row) => {
    const rms = Math.sqrt(row.reduce((sum, v) => sum + v * v, 0) / D + eps);
    return row.map((v, i) => (v / rms) * weight[i]!);
  })(x);

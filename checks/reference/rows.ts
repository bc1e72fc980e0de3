/** Softmax and layer norm over rows of D, in plain f64 loops. */

export const rows =
  (D: number, f: (row: Float64Array) => Float64Array) =>
  (x: Float64Array): Float64Array => {
    const y = new Float64Array(x.length);
    for (let at = 0; at < x.length; at += D) y.set(f(x.slice(at, at + D)), at);
    return y;
  };
const total = (x: Float64Array): number => x.reduce((a, b) => a + b, 0);

export const logSoftmaxReference = (D: number) =>
  rows(D, (x) => {
    const most = x.reduce((a, b) => Math.max(a, b));
    const shift = most + Math.log(total(x.map((v) => Math.exp(v - most))));
    return x.map((v) => v - shift);
  });

export const softmaxReference =
  (D: number) =>
  (x: Float64Array): Float64Array =>
    logSoftmaxReference(D)(x).map(Math.exp);

export const layerNormReference =
  (D: number, eps = 1e-6) =>
  (x: Float64Array, weight: Float64Array, bias: Float64Array): Float64Array =>
    rows(D, (row) => {
      const mean = total(row) / D;
      const variance = total(row.map((v) => (v - mean) ** 2)) / D;
      return row.map((v, i) => ((v - mean) / Math.sqrt(variance + eps)) * weight[i]! + bias[i]!);
    })(x);

/** Losses in plain f64 loops. */

export function logSoftmax(z: ArrayLike<number>): number[] {
  const row = Array.from(z);
  const most = Math.max(...row);
  const logSum = Math.log(row.reduce((s, v) => s + Math.exp(v - most), 0));
  return row.map((v) => v - most - logSum);
}

const rows = <T>(x: Float64Array, K: number, f: (row: Float64Array, b: number) => T): T[] =>
  Array.from({ length: x.length / K }, (_, b) => f(x.subarray(b * K, (b + 1) * K), b));

const mean = (x: readonly number[]): number => x.reduce((a, b) => a + b, 0) / x.length;

/** `target` may be traced too: it is an input like any other. */
export const softCrossEntropy =
  (K: number, smoothing = 0) =>
  (z: Float64Array, target: Float64Array): Float64Array =>
    Float64Array.of(
      mean(
        rows(z, K, (row, b) => -logSoftmax(row).reduce((s, lp, k) => s + ((1 - smoothing) * target[b * K + k]! + smoothing / K) * lp, 0)),
      ),
    );

export const labelCrossEntropy =
  (K: number, labels: readonly number[], smoothing = 0) =>
  (z: Float64Array): Float64Array =>
    softCrossEntropy(K, smoothing)(z, Float64Array.from(labels.flatMap((y) => Array.from({ length: K }, (_, k) => (k === y ? 1 : 0)))));

export const klReference =
  (K: number, teacher: Float64Array, tau: number, reduction: "numel" | "batchmean") =>
  (student: Float64Array): Float64Array => {
    const total = rows(student, K, (row, b) => {
      const [ls, lt] = [row, teacher.subarray(b * K, (b + 1) * K)].map((z) => logSoftmax(z.map((v) => v / tau)));
      return lt!.reduce((s, lp, k) => s + Math.exp(lp) * (lp - ls![k]!), 0);
    }).reduce((a, b) => a + b, 0);
    return Float64Array.of((tau ** 2 * total) / (reduction === "numel" ? student.length : student.length / K));
  };

/** `target`: (B, K); with a threshold 1 above it, else 0. */
export const binaryReference =
  (threshold: number | null = null) =>
  (z: Float64Array, target: Float64Array): Float64Array =>
    Float64Array.of(
      mean(
        Array.from(z, (v, i) => {
          const t = threshold === null ? target[i]! : Number(target[i]! > threshold);
          return Math.max(v, 0) - v * t + Math.log1p(Math.exp(-Math.abs(v)));
        }),
      ),
    );

/** Smoothed targets (B, K) of labels. */
export const smoothed = (K: number, labels: readonly number[], smoothing: number): Float64Array =>
  Float64Array.from(labels.flatMap((y) => Array.from({ length: K }, (_, k) => (k === y ? 1 - smoothing : 0) + smoothing / K)));

/** 1 - cosine of rows of D, their mean. */
export const cosineReference =
  (D: number) =>
  (x: Float64Array, target: Float64Array): Float64Array => {
    const dot = (a: Float64Array, b: Float64Array) => a.reduce((s, v, i) => s + v * b[i]!, 0);
    return Float64Array.of(
      mean(
        rows(x, D, (row, b) => {
          const t = target.subarray(b * D, (b + 1) * D);
          return 1 - dot(row, t) / Math.sqrt(dot(row, row) * dot(t, t));
        }),
      ),
    );
  };

export const smoothL1Reference =
  (beta: number) =>
  (x: Float64Array, target: Float64Array): Float64Array =>
    Float64Array.of(
      mean(
        Array.from(x, (v, i) => {
          const d = Math.abs(v - target[i]!);
          return d < beta ? (0.5 * d * d) / beta : d - 0.5 * beta;
        }),
      ),
    );

/**
 * How well features tell classes apart, without training: a weighted vote of the nearest neighbours, and whether the nearest is of the same
 * class. By cosine similarity, in f64. Wu et al. 2018, section 3.4, https://arxiv.org/abs/1805.01978; k and tau as DINO's evaluation has them:
 * https://github.com/facebookresearch/dino/blob/main/eval_knn.py
 */

/** Rows of D features, and each row's class. */
export interface LabelledFeatures {
  readonly data: Float32Array;
  readonly labels: ArrayLike<number>;
}

export interface KnnOptions {
  /** Neighbours that vote. */
  readonly k: number;
  /** A neighbour's vote is exp(similarity / tau). */
  readonly tau: number;
  /** `train` and `test` are the same rows, and none is a neighbour of itself. */
  readonly leaveOut: boolean;
}

export interface KnnScore {
  readonly count: number;
  /** Shares of the test rows whose class has the most votes, and is among the five that have most; ties go to the lower class. */
  readonly top1: number;
  readonly top5: number;
  /** Share of the test rows whose nearest neighbour is of their class: retrieval's recall at 1. */
  readonly recall1: number;
}

/** `progress` is called with the number of test rows that are done. */
export function knn(train: LabelledFeatures, test: LabelledFeatures, o: KnnOptions, progress?: (done: number) => void): KnnScore {
  const [n, count] = [train.labels.length, test.labels.length];
  const D = train.data.length / n;
  if (test.data.length !== count * D) throw new Error(`knn: expected test features of width ${D}, got ${test.data.length / count}`);
  const k = Math.min(o.k, n - (o.leaveOut ? 1 : 0));
  if (k < 1) throw new Error("knn: expected at least one neighbour, got none");
  const [a, b] = [unitRows(train.data, D), unitRows(test.data, D)];
  const classes = 1 + Array.from(train.labels).reduce((most, label) => Math.max(most, label), 0);
  let [top1, top5, recall1] = [0, 0, 0];
  const similarity = new Float64Array(n);
  for (let t = 0; t < count; t++) {
    for (let i = 0; i < n; i++) {
      let dot = 0;
      for (let d = 0; d < D; d++) dot += a[i * D + d]! * b[t * D + d]!;
      similarity[i] = o.leaveOut && i === t ? -Infinity : dot;
    }
    const nearest = largest(similarity, k);
    const votes = new Float64Array(classes);
    for (const i of nearest) votes[train.labels[i]!]! += Math.exp(similarity[i]! / o.tau);
    const own = test.labels[t]!;
    const vote = own < classes ? votes[own]! : -1;
    const rank = votes.reduce((before, v, c) => before + (v > vote || (v === vote && c < own) ? 1 : 0), 0);
    if (vote >= 0 && rank < 1) top1++;
    if (vote >= 0 && rank < 5) top5++;
    if (train.labels[nearest[0]!] === own) recall1++;
    progress?.(t + 1);
  }
  return { count, top1: top1 / count, top5: top5 / count, recall1: recall1 / count };
}

/** Indices of the k largest values, the largest first; of equal ones the lower index. */
function largest(values: Float64Array, k: number): number[] {
  const before = (i: number, j: number) => values[i]! > values[j]! || (values[i] === values[j] && i < j);
  const found: number[] = [];
  for (let i = 0; i < values.length; i++) {
    if (found.length === k && !before(i, found[k - 1]!)) continue;
    let at = found.length;
    while (at > 0 && before(i, found[at - 1]!)) at--;
    found.splice(at, 0, i);
    if (found.length > k) found.pop();
  }
  return found;
}

function unitRows(data: Float32Array, D: number): Float64Array {
  const rows = Float64Array.from(data);
  for (let at = 0; at < rows.length; at += D) {
    const row = rows.subarray(at, at + D);
    const norm = Math.sqrt(row.reduce((sum, v) => sum + v * v, 0));
    if (norm > 0) for (let d = 0; d < D; d++) row[d]! /= norm;
  }
  return rows;
}

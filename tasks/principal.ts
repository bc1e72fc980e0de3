/** The first three principal components of patch features, as a picture: what a model takes for parts of the same thing has the same colour. */
import type { RgbImage } from "../models/images/preprocess.ts";

const COMPONENTS = 3;
/** Enough for variances of which one is a tenth larger than the next; those that are alike are as good in either order. */
const STEPS = 300;

/** rows: (n, D). Their three directions of largest variance, (3, D), by orthogonal iteration in f64, and the mean [D]. */
export function principalComponents(rows: Float32Array, D: number): { readonly directions: Float64Array[]; readonly mean: Float64Array } {
  const n = rows.length / D;
  if (n < 2 || D < COMPONENTS) throw new Error(`principalComponents: expected at least 2 rows of ${COMPONENTS}, got ${n} of ${D}`);
  const mean = new Float64Array(D);
  rows.forEach((v, i) => (mean[i % D]! += v / n));
  const covariance = new Float64Array(D * D);
  const row = new Float64Array(D);
  for (let r = 0; r < n; r++) {
    for (let d = 0; d < D; d++) row[d] = rows[r * D + d]! - mean[d]!;
    for (let i = 0; i < D; i++) for (let j = i; j < D; j++) covariance[i * D + j]! += row[i]! * row[j]!;
  }
  for (let i = 0; i < D; i++) for (let j = 0; j < i; j++) covariance[i * D + j] = covariance[j * D + i]!;
  let directions: Float64Array[] = Array.from({ length: COMPONENTS }, (_, c) =>
    Float64Array.from({ length: D }, (_, d) => Math.cos((c + 1) * (d + 1))),
  );
  for (let step = 0; step < STEPS; step++) {
    directions = orthonormal(
      directions.map((v) => {
        const y = new Float64Array(D);
        for (let i = 0; i < D; i++) for (let j = 0; j < D; j++) y[i]! += covariance[i * D + j]! * v[j]!;
        return y;
      }),
    );
  }
  // Of both signs the one whose largest entry is positive.
  for (const v of directions)
    if (v[v.reduce((at, e, i) => (Math.abs(e) > Math.abs(v[at]!) ? i : at), 0)]! < 0) v.forEach((e, i) => (v[i] = -e));
  return { directions, mean };
}

function orthonormal(vectors: readonly Float64Array[]): Float64Array[] {
  const made: Float64Array[] = [];
  for (const v of vectors) {
    const own = Float64Array.from(v);
    for (const other of made) {
      const dot = own.reduce((sum, e, i) => sum + e * other[i]!, 0);
      own.forEach((e, i) => (own[i] = e - dot * other[i]!));
    }
    const norm = Math.hypot(...own);
    made.push(norm > 0 ? own.map((e) => e / norm) : own);
  }
  return made;
}

/** Pictures of `images` times (side * side, D) rows: each component is a colour, from its least to its largest over all images. `scale`: pixels per patch. */
export function componentPictures(rows: Float32Array, D: number, side: number, scale: number): RgbImage[] {
  const { directions, mean } = principalComponents(rows, D);
  const n = rows.length / D;
  const values = directions.map((v) =>
    Float64Array.from({ length: n }, (_, r) => v.reduce((sum, e, d) => sum + e * (rows[r * D + d]! - mean[d]!), 0)),
  );
  const ranges = values.map(
    (of) => [of.reduce((a, v) => Math.min(a, v), Infinity), of.reduce((a, v) => Math.max(a, v), -Infinity)] as const,
  );
  const patches = side * side,
    width = side * scale;
  return Array.from({ length: n / patches }, (_, image) => {
    const data = new Uint8Array(3 * width * width);
    for (let y = 0; y < width; y++)
      for (let x = 0; x < width; x++)
        for (let c = 0; c < COMPONENTS; c++) {
          const [least, most] = ranges[c]!;
          const v = values[c]![image * patches + Math.floor(y / scale) * side + Math.floor(x / scale)]!;
          data[3 * (y * width + x) + c] = most > least ? Math.round((255 * (v - least)) / (most - least)) : 128;
        }
    return { height: width, width, data };
  });
}

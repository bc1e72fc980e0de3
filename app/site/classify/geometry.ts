/** Cosine likeness, and the plane of the two largest principal components. */

const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
};

/** Cosine of the angle between two feature vectors of one length, in [-1, 1]; 0 where one is zero. */
export function cosine(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const norms = Math.sqrt(dot(a, a) * dot(b, b));
  return norms === 0 ? 0 : dot(a, b) / norms;
}

/** A place in [0, 1] x [0, 1] for each vector. The Gram matrix (vectors by vectors) has the components' coordinates as its eigenvectors; power iteration finds two. */
export function principalPlane(vectors: readonly ArrayLike<number>[]): (readonly [number, number])[] {
  const n = vectors.length;
  const size = vectors[0]?.length ?? 0;
  const mean = new Float64Array(size);
  for (const v of vectors) for (let i = 0; i < size; i++) mean[i]! += v[i]! / n;
  const centred = vectors.map((v) => Float64Array.from(v, (value, i) => value - mean[i]!));
  const gram = centred.map((a) => centred.map((b) => dot(a, b)));
  const found: Float64Array[] = [];
  for (let axis = 0; axis < 2; axis++) {
    let v = Float64Array.from({ length: n }, (_, i) => Math.sin(1 + i * (axis + 1.7)));
    for (let turn = 0; turn < 60; turn++) {
      for (const known of found) {
        const along = dot(v, known);
        v = v.map((value, i) => value - along * known[i]!);
      }
      const next = Float64Array.from(gram, (row) => dot(row, v));
      const norm = Math.sqrt(dot(next, next)) || 1;
      v = next.map((value) => value / norm);
    }
    found.push(v);
  }
  const scaled = found.map((v) => {
    const [least, most] = [Math.min(...v), Math.max(...v)];
    return v.map((value) => (most > least ? (value - least) / (most - least) : 0.5));
  });
  return vectors.map((_, i) => [scaled[0]![i]!, scaled[1]![i]!] as const);
}

/** Attention in plain f64 loops. */

/** q: (B*H, N, D); k, v: (B*H, M, D). */
export const attentionReference =
  (heads: number, N: number, M: number, D: number, scale = D ** -0.5) =>
  (q: Float64Array, k: Float64Array, v: Float64Array): Float64Array => {
    const y = new Float64Array(heads * N * D);
    for (let h = 0; h < heads; h++) {
      for (let i = 0; i < N; i++) {
        const s = Float64Array.from({ length: M }, (_, j) => {
          let dot = 0;
          for (let d = 0; d < D; d++) dot += q[(h * N + i) * D + d]! * k[(h * M + j) * D + d]!;
          return dot * scale;
        });
        const most = s.reduce((a, b) => Math.max(a, b));
        const e = s.map((x) => Math.exp(x - most));
        const total = e.reduce((a, b) => a + b);
        for (let j = 0; j < M; j++) for (let d = 0; d < D; d++) y[(h * N + i) * D + d]! += (e[j]! / total) * v[(h * M + j) * D + d]!;
      }
    }
    return y;
  };

/** qkv: (B, M, 3, H, D) to y: (B, N, H, D) of the first N tokens, by way of separate arrays. */
export const attentionPackedReference =
  (B: number, M: number, H: number, D: number, N = M) =>
  (qkv: Float64Array): Float64Array => {
    const third = (t: number, tokens: number) =>
      Float64Array.from({ length: B * H * tokens * D }, (_, e) => {
        const d = e % D,
          i = Math.floor(e / D) % tokens,
          h = Math.floor(e / (D * tokens)) % H,
          b = Math.floor(e / (D * tokens * H));
        return qkv[(((b * M + i) * 3 + t) * H + h) * D + d]!;
      });
    const y = attentionReference(B * H, N, M, D)(third(0, N), third(1, M), third(2, M));
    return Float64Array.from({ length: y.length }, (_, e) => {
      const d = e % D,
        h = Math.floor(e / D) % H,
        i = Math.floor(e / (D * H)) % N,
        b = Math.floor(e / (D * H * N));
      return y[((b * H + h) * N + i) * D + d]!;
    });
  };

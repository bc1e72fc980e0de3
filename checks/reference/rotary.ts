/** Rotary position embedding and SwiGLU in plain f64 loops. */

/** qkv: (B, N, 3, H, D) and the angles' cos and sin (P, D / 2) to y of qkv's shape. */
export const rotaryReference =
  ({ N, H, D, P, half }: { readonly N: number; readonly H: number; readonly D: number; readonly P: number; readonly half: boolean }) =>
  (qkv: Float64Array, cos: Float64Array, sin: Float64Array): Float64Array => {
    const y = qkv.slice();
    const heads = qkv.length / D; // of all tokens, queries, keys and values
    for (let head = 0; head < heads; head++) {
      const patch = (Math.floor(head / (3 * H)) % N) - (N - P);
      if (patch < 0 || head % (3 * H) >= 2 * H) continue;
      for (let pair = 0; pair < D / 2; pair++) {
        const [a, b] = half ? [pair, pair + D / 2] : [2 * pair, 2 * pair + 1];
        const [c, s] = [cos[(patch * D) / 2 + pair]!, sin[(patch * D) / 2 + pair]!];
        y[head * D + a] = qkv[head * D + a]! * c - qkv[head * D + b]! * s;
        y[head * D + b] = qkv[head * D + b]! * c + qkv[head * D + a]! * s;
      }
    }
    return y;
  };

/** u: (rows, 2 H), gates first. Returns (rows, H). */
export const swigluReference =
  (H: number) =>
  (u: Float64Array): Float64Array =>
    Float64Array.from({ length: u.length / 2 }, (_, i) => {
      const at = Math.floor(i / H) * H + i;
      return (u[at]! / (1 + Math.exp(-u[at]!))) * u[at + H]!;
    });

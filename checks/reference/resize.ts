/** Resizing of bytes and of position embeddings, one output at a time in plain loops. */

/** Keys' cubic convolution, https://en.wikipedia.org/wiki/Bicubic_interpolation */
const cubic = (a: number, distance: number): number => {
  const x = Math.abs(distance);
  if (x < 1) return (a + 2) * x ** 3 - (a + 3) * x ** 2 + 1;
  return x < 2 ? a * (x ** 3 - 5 * x ** 2 + 8 * x - 4) : 0;
};

/** Bytes of an axis of `n` in lines of `inner`, as Pillow resizes them: a = -0.5, antialiased, weights in units of 2^-22. */
function resizedAxis(x: Float64Array, n: number, to: number, inner: number): Float64Array {
  if (n === to) return x;
  const scale = n / to,
    stretch = Math.max(1, scale);
  const lines = x.length / n / inner;
  const y = new Float64Array(lines * to * inner);
  for (let i = 0; i < to; i++) {
    const center = (i + 0.5) * scale;
    const from = Math.max(0, Math.floor(center - 2 * stretch + 0.5)),
      end = Math.min(n, Math.floor(center + 2 * stretch + 0.5));
    const weights = Array.from({ length: end - from }, (_, k) => cubic(-0.5, (from + k + 0.5 - center) / stretch));
    const sum = weights.reduce((a, b) => a + b, 0);
    const whole = weights.map((w) => Math.sign(w) * Math.round(Math.abs(w / sum) * 2 ** 22));
    for (let line = 0; line < lines; line++)
      for (let c = 0; c < inner; c++) {
        const total = whole.reduce((s, w, k) => s + w * x[(line * n + from + k) * inner + c]!, 2 ** 21);
        y[(line * to + i) * inner + c] = Math.min(255, Math.max(0, Math.floor(total / 2 ** 22)));
      }
  }
  return y;
}

/** x: (H, W, C) bytes. The width first. */
export const resizeBicubicReference = (
  x: Float64Array,
  [H = 1, W = 1, C = 1]: readonly number[],
  height: number,
  width: number,
): Float64Array => resizedAxis(resizedAxis(x, W, width, C), H, height, width * C);

/** x: (prefix + side^2, D). PyTorch's bicubic interpolation, a = -0.75, edges repeated, without antialiasing. */
export function resizePosEmbedReference(x: Float64Array, D: number, prefix: number, height: number, width: number): Float64Array {
  const side = Math.sqrt(x.length / D - prefix);
  const edge = (k: number): number => Math.min(side - 1, Math.max(0, k));
  const y = new Float64Array((prefix + height * width) * D);
  y.set(x.subarray(0, prefix * D));
  for (let row = 0; row < height; row++)
    for (let column = 0; column < width; column++)
      for (let d = 0; d < D; d++) {
        const [u, v] = [(side / height) * (row + 0.5) - 0.5, (side / width) * (column + 0.5) - 0.5];
        let sum = 0;
        for (let i = Math.floor(u) - 1; i <= Math.floor(u) + 2; i++)
          for (let j = Math.floor(v) - 1; j <= Math.floor(v) + 2; j++)
            sum += cubic(-0.75, u - i) * cubic(-0.75, v - j) * x[(prefix + edge(i) * side + edge(j)) * D + d]!;
        y[(prefix + row * width + column) * D + d] = sum;
      }
  return y;
}

/** Pillow's resampling as weights: for each output along an axis, its inputs and their weights, computed in f64 on the CPU. */

/** One output: index of its first input, and the weights of it and the following inputs. */
export interface Band {
  readonly from: number;
  readonly weights: readonly number[];
}

/** A filter: weight by distance, 0 at distances of `support` and more. */
export interface Filter {
  readonly support: number;
  at(distance: number): number;
}

/** Keys' cubic. Pillow resizes with a = -0.5; PyTorch interpolates with -0.75. https://en.wikipedia.org/wiki/Bicubic_interpolation */
export const keys = (a: number): Filter => ({
  support: 2,
  at(distance) {
    const x = Math.abs(distance);
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
  },
});

export const BICUBIC = keys(-0.5);
export const BILINEAR: Filter = { support: 1, at: (distance) => Math.max(0, 1 - Math.abs(distance)) };

/**
 * Pillow's resize: when shrinking, the filter is widened by the scale; pixels outside the image are left out. Of the `output` bands only
 * `count`, starting at `first`, are computed.
 */
export function antialiasedBands(input: number, output: number, filter: Filter, first = 0, count = output - first): Band[] {
  const scale = input / output;
  const stretch = Math.max(scale, 1);
  const reach = filter.support * stretch;
  return Array.from({ length: count }, (_, i) => {
    const center = (first + i + 0.5) * scale;
    const from = Math.max(0, Math.trunc(center - reach + 0.5));
    const to = Math.min(input, Math.trunc(center + reach + 0.5));
    const weights = Array.from({ length: to - from }, (_, k) => filter.at((from + k - center + 0.5) / stretch));
    const sum = weights.reduce((a, b) => a + b, 0);
    return { from, weights: weights.map((w) => w / sum) };
  });
}

/** Binary places to which Pillow rounds the weights of 8-bit images. */
export const PRECISION = 22;

/** Weights in units of 2^-22. */
export const quantized = (bands: readonly Band[]): Band[] =>
  bands.map(({ from, weights }) => ({ from, weights: weights.map((w) => Math.trunc(w * 2 ** PRECISION + (w < 0 ? -0.5 : 0.5))) }));

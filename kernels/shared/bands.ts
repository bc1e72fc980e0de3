/**
 * Linear maps along one axis whose every output is made of a run of neighbouring inputs: what resizing an axis is. Weights are found in
 * f64 on the CPU and reach kernels as tables.
 */
import { Tensor } from "../../engine/tensor.ts";

/** One output: the inputs from number `from` on, and their weights. */
export interface Band {
  readonly from: number;
  readonly weights: readonly number[];
}

/** A filter over distances, 0 from `support` on. */
export interface Filter {
  readonly support: number;
  at(distance: number): number;
}

/** Keys' cubic. Pillow resizes with a = -0.5; PyTorch interpolates with -0.75. https://en.wikipedia.org/wiki/Bicubic_interpolation */
const keys = (a: number): Filter => ({
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
 * Pillow's resize: the filter grows with the scale when shrinking, and what falls outside of the image is left out. Of the `output` bands only
 * `count` from number `first` on are made.
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

const TORCH = keys(-0.75);

/** PyTorch's bicubic interpolation without corners aligned or antialiasing: four inputs, those past the edge are the edge. */
export function interpolationBands(input: number, output: number): Band[] {
  const edge = (k: number): number => Math.min(input - 1, Math.max(0, k));
  return Array.from({ length: output }, (_, i) => {
    const at = (input / output) * (i + 0.5) - 0.5;
    const first = Math.floor(at) - 1;
    const from = edge(first);
    const weights = Array.from({ length: edge(first + 3) - from + 1 }, () => 0);
    for (let k = first; k < first + 4; k++) weights[edge(k) - from]! += TORCH.at(at - k);
    return { from, weights };
  });
}

/** The map's transpose: for each of `inputs` inputs, the outputs that it reaches. Bands must move in one direction. */
export function transposed(bands: readonly Band[], inputs: number): Band[] {
  return Array.from({ length: inputs }, (_, i) => {
    const reached = bands.map(({ from, weights }) => i >= from && i < from + weights.length);
    const from = Math.max(0, reached.indexOf(true));
    const to = reached.lastIndexOf(true) + 1;
    return { from, weights: bands.slice(from, to).map((b) => b.weights[i - b.from] ?? 0) };
  });
}

/** For a kernel: `runs` (rows, 3) u32 with the first input, the first weight and how many; `weights`, all in a row. */
export function bandTables(bands: readonly Band[], dtype: "f32" | "i32"): { runs: Tensor; weights: Tensor } {
  let at = 0;
  const runs = bands.flatMap(({ from, weights }) => [from, (at += weights.length) - weights.length, weights.length]);
  return {
    runs: Tensor.from(runs, [bands.length, 3], "u32"),
    weights: Tensor.from(
      bands.flatMap((b) => b.weights),
      [at],
      dtype,
    ),
  };
}

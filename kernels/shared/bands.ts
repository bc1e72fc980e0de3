/**
 * Linear maps along one axis whose every output is made of a run of neighbouring inputs: what resizing an axis is. Weights are found in
 * f64 on the CPU and reach kernels as tables.
 */
import { keys, type Band } from "./resample.ts";
import { Tensor } from "../../engine/tensor.ts";

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

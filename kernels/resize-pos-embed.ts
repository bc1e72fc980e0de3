/**
 * Position embedding for another number of patches: the rows of the tokens before the patches stay, the others are a square grid that is
 * interpolated per channel, bicubic with a = -0.75 and no antialiasing, as PyTorch's `interpolate` does it and DeiT's fine-tuning at 384
 * pixels uses it.
 *
 *   y[Y, X] = sum over y, x of A[Y, y] B[X, x] x[y, x]        dx[y, x] = sum over Y, X of A[Y, y] B[X, x] dy[Y, X]
 *
 * https://github.com/facebookresearch/deit/blob/main/main.py
 */
import { defineOp } from "../engine/autograd.ts";
import { defineKernel } from "../engine/kernel.ts";
import { show, type Shape } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";
import type { Band } from "./shared/resample.ts";
import { bandTables, interpolationBands, transposed } from "./shared/bands.ts";

const WG = 64;

// One thread per element of y.
const kernel = defineKernel({
  name: "resizePosEmbed",
  inputs: { x: "f32", rowRuns: "u32", rowWeights: "f32", columnRuns: "u32", columnWeights: "f32" }, // (Q + h * w, D), (H, 3), (any), (W, 3), (any)
  outputs: { y: "f32" }, // (Q + H * W, D)
  params: { n: "u32", D: "u32", prefix: "u32", before: "u32", after: "u32" }, // grids so wide
  workgroup: WG,
  code: /* wgsl */ `
    let i = group * WG + li;
    if (i >= p.n) { return; }
    let token = i / p.D;
    if (token < p.prefix) { y[i] = x[i]; return; }
    let r = 3u * ((token - p.prefix) / p.after);
    let c = 3u * ((token - p.prefix) % p.after);
    let top = rowRuns[r];
    let row_weights = rowRuns[r + 1u];
    let rows = rowRuns[r + 2u];
    let left = columnRuns[c];
    let column_weights = columnRuns[c + 1u];
    let columns = columnRuns[c + 2u];
    var sum = 0.0;
    for (var a = 0u; a < rows; a++) {
      let first = p.prefix + (top + a) * p.before + left;
      var line = 0.0;
      for (var b = 0u; b < columns; b++) { line += columnWeights[column_weights + b] * x[(first + b) * p.D + i % p.D]; }
      sum += rowWeights[row_weights + a] * line;
    }
    y[i] = sum;`,
});

/** Tokens before the patches, and the grids' sides. */
export interface GridChange {
  readonly prefix: number;
  readonly side: number;
  readonly height: number;
  readonly width: number;
}

/** Checks x (1, N, D) and says what becomes of its grid. */
export function gridChange(shape: Shape, { prefix, height, width }: ResizePosEmbedOptions): GridChange {
  for (const [name, v] of [
    ["height", height],
    ["width", width],
  ] as const) {
    if (!Number.isInteger(v) || v < 1) throw new Error(`resizePosEmbed: expected a positive integer ${name}, got ${v}`);
  }
  if (!Number.isInteger(prefix) || prefix < 0) throw new Error(`resizePosEmbed: expected a prefix of 0 or more, got ${prefix}`);
  const side = Math.sqrt((shape[1] ?? 0) - prefix);
  if (shape.length !== 3 || shape[0] !== 1 || !(side >= 1) || !Number.isInteger(side)) {
    throw new Error(`resizePosEmbed: expected [1,N,D] with ${prefix} and a square number of tokens, got ${show(shape)}`);
  }
  return { prefix, side, height, width };
}

function launch(
  x: Tensor,
  shape: Shape,
  prefix: number,
  before: number,
  after: number,
  rows: readonly Band[],
  columns: readonly Band[],
): Tensor {
  const n = shape[1]! * shape[2]!;
  const [r, c] = [bandTables(rows, "f32"), bandTables(columns, "f32")];
  return kernel({
    inputs: { x, rowRuns: r.runs, rowWeights: r.weights, columnRuns: c.runs, columnWeights: c.weights },
    outputs: { y: shape },
    params: { n, D: shape[2]!, prefix, before, after },
    threads: n,
  }).y;
}

const op = defineOp({
  name: "resizePosEmbed",
  forward([x]: [Tensor], { prefix, side, height, width }: GridChange) {
    const y = launch(
      x,
      [1, prefix + height * width, x.shape[2]!],
      prefix,
      side,
      width,
      interpolationBands(side, height),
      interpolationBands(side, width),
    );
    return { y, saved: null };
  },
  backward(dy, _, [x], { prefix, side, height, width }) {
    const [rows, columns] = [height, width].map((size) => transposed(interpolationBands(side, size), side));
    return [launch(dy, x.shape, prefix, width, side, rows!, columns!)];
  },
});

export interface ResizePosEmbedOptions {
  /** Rows before the patches: 1 of a class token, 2 with a distillation token, 0 of an embedding for the patches alone. */
  readonly prefix: number;
  /** The new grid, in patches. */
  readonly height: number;
  readonly width: number;
}

/** x: (1, prefix + side * side, D). Returns (1, prefix + height * width, D). */
export const resizePosEmbed = (x: Tensor, options: ResizePosEmbedOptions): Tensor => op([x], gridChange(x.shape, options));

/**
 * Convolutions of single pixels: a 1x1 kernel, no padding, one group. They are matrix products over channels, of pixels read and written
 * where NCHW has them.
 *
 *   y_b = W x_b + bias        dx_b = W^T dy_b        dW = sum over b of dy_b x_b^T, dbias = sums of dy
 *
 * Rows are an image's channels and columns its pixels; or, where images are small, rows are the pixels of all images and columns channels.
 */
import type { Shape } from "../../engine/shape.ts";
import type { Tensor } from "../../engine/tensor.ts";
import type { Activation } from "../shared/activations.ts";
import type { FixedNorm } from "../gemm/describe.ts";
import { gemm } from "../gemm/gemm.ts";
import { transposedMap, type AddressMap } from "../shared/address-map.ts";

/** Of images (B, C, H, W) and what every stride-th of their pixels makes, (B, O, Ho, Wo). */
export interface PointwiseSizes {
  readonly C: number;
  readonly O: number;
  readonly H: number;
  readonly W: number;
  readonly Ho: number;
  readonly Wo: number;
  readonly stride: number;
}

// Pixels needed to fill most of a tile's columns.
const LARGE = 64;

/** Where output pixel `i` of an image finds its input. */
const source = ({ W, Wo, stride }: PointwiseSizes, i: string): string =>
  stride === 1 ? i : `(${i}) / ${Wo}u * ${stride * W}u + (${i}) % ${Wo}u * ${stride}u`;

/** Rows: pixels of all images, `per` to an image of `channels` planes of `plane`. Columns: channels. */
const pixelRows = (per: number, channels: number, plane: number, pixel: (i: string) => string = (i) => i): AddressMap => ({
  row: `i / ${per}u * ${channels * plane}u + ${pixel(`(i % ${per}u)`)}`,
  col: `i * ${plane}u`,
});

export interface PointwiseOptions {
  readonly bias?: Tensor | undefined;
  readonly norm?: FixedNorm | undefined;
  readonly activation?: Activation;
  /** The same product with W^T, which makes dx of dy where every pixel is taken. */
  readonly back?: boolean;
}

/** (B, C, H, W) and (O, C, 1, 1) to (B, O, Ho, Wo). */
export function pointwiseConv(
  x: Tensor,
  weight: Tensor,
  s: PointwiseSizes,
  { bias, norm, activation = "none", back = false }: PointwiseOptions = {},
): Tensor {
  const B = x.shape[0]!,
    per = s.Ho * s.Wo,
    plane = back ? per : s.H * s.W;
  const [into, out] = back ? [s.O, s.C] : [s.C, s.O];
  const shape: Shape = back ? [B, s.C, s.H, s.W] : [B, s.O, s.Ho, s.Wo];
  if (per >= LARGE) {
    return gemm({
      a: { tensor: weight, transposed: back, batch: [0] },
      b: { tensor: x, batch: [into * plane], ...(s.stride > 1 ? { map: { row: `i * ${plane}u`, col: source(s, "i") } } : {}) },
      M: out,
      N: per,
      K: into,
      batch: [B],
      shape,
      store: x.dtype,
      rowBias: bias,
      norm: norm && { ...norm, by: "m" },
      activation,
    }).y;
  }
  return gemm({
    a: { tensor: x, map: pixelRows(per, into, plane, (i) => source(s, i)) },
    b: { tensor: weight, transposed: !back },
    M: B * per,
    N: out,
    K: into,
    shape,
    store: x.dtype,
    bias,
    norm: norm && { ...norm, by: "n" },
    activation,
    out: { map: pixelRows(per, out, per), batch: [] },
  }).y;
}

/** dweight, and with `bias` also dbias. */
export function pointwiseConvWeight(
  x: Tensor,
  dy: Tensor,
  s: PointwiseSizes,
  bias: boolean,
): { readonly dweight: Tensor; readonly dbias: Tensor | null } {
  const B = x.shape[0]!,
    per = s.Ho * s.Wo;
  const { y, sums } = gemm({
    a: { tensor: dy, map: transposedMap(pixelRows(per, s.O, per)) },
    b: { tensor: x, map: pixelRows(per, s.C, s.H * s.W, (i) => source(s, i)) },
    M: s.O,
    N: s.C,
    K: B * per,
    shape: [s.O, s.C, 1, 1],
    store: "f32",
    sums: bias,
  });
  return { dweight: y, dbias: sums };
}

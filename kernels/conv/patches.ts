/**
 * Convolutions that cut an image into patches: a square kernel, as large as its stride, no padding, one group. They are matrix
 * products of patches read where they lie (`shared/patches.ts`), written where NCHW wants them.
 *
 *   y_b = W patches_b^T + bias        dx_b = (W^T dy_b), put back        dW = sum over b of dy_b patches_b, dbias = sums of dy
 */
import type { Tensor } from "../../engine/tensor.ts";
import { gemm } from "../gemm/gemm.ts";
import { transposedMap } from "../shared/address-map.ts";
import { patchesPerImage, patchMap, type PatchSizes } from "../shared/patches.ts";

/** (B, C, H, W) and (O, C, p, p) to (B, O, H / p, W / p). */
export function patchConv(x: Tensor, weight: Tensor, bias: Tensor | null, sizes: PatchSizes): Tensor {
  const B = x.shape[0]!,
    O = weight.shape[0]!,
    P = patchesPerImage(sizes),
    { C, H, W, p } = sizes;
  return gemm({
    a: { tensor: weight, batch: [0] },
    b: { tensor: x, transposed: true, map: transposedMap(patchMap(sizes)), batch: [C * H * W] },
    M: O,
    N: P,
    K: C * p * p,
    batch: [B],
    shape: [B, O, H / p, W / p],
    store: x.dtype,
    rowBias: bias ?? undefined,
  }).y;
}

export function patchConvInput(dy: Tensor, weight: Tensor, sizes: PatchSizes): Tensor {
  const [B, O] = dy.shape as [number, number],
    P = patchesPerImage(sizes),
    { C, H, W, p } = sizes;
  return gemm({
    a: { tensor: weight, transposed: true, batch: [0] },
    b: { tensor: dy, batch: [O * P] },
    M: C * p * p,
    N: P,
    K: O,
    batch: [B],
    shape: [B, C, H, W],
    store: dy.dtype,
    out: { map: transposedMap(patchMap(sizes)), batch: [C * H * W] },
  }).y;
}

/** dweight, and with `bias` also dbias. */
export function patchConvWeight(
  x: Tensor,
  dy: Tensor,
  sizes: PatchSizes,
  bias: boolean,
): { readonly dweight: Tensor; readonly dbias: Tensor | null } {
  const [B, O] = dy.shape as [number, number],
    P = patchesPerImage(sizes),
    { C, p } = sizes;
  const { y, sums } = gemm({
    a: { tensor: dy, map: { row: `i * ${P}u`, col: `i / ${P}u * ${O * P}u + i % ${P}u` } },
    b: { tensor: x, map: patchMap(sizes) },
    M: O,
    N: C * p * p,
    K: B * P,
    shape: [O, C, p, p],
    store: "f32",
    sums: bias,
  });
  return { dweight: y, dbias: sums };
}

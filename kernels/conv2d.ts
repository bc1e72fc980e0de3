/**
 * 2-D convolution (cross-correlation, as in PyTorch), with groups.
 *
 *   y[b,o,i,j] = bias[o] + sum over c, u, v of weight[o,c,u,v] * x[b, gC + c, i*stride + u - padding, j*stride + v - padding]
 *
 * where g is o's group of C channels and x is 0 outside. Backward, each sum over the terms that exist:
 *
 *   dx[b,gC+c,h,w] = sum over o, u, v of weight[o,c,u,v] * dy[b, o, (h + padding - u) / stride, (w + padding - v) / stride]
 *   dweight[o,c,u,v] = sum over b, i, j of dy[b,o,i,j] * x[b, gC + c, i*stride + u - padding, j*stride + v - padding]
 *   dbias[o] = sum over b, i, j of dy[b,o,i,j]
 *
 * Direct, without an im2col buffer (`conv/direct.ts`, `conv/weight.ts`). A 1x1 convolution, and one that cuts the image into patches, is a
 * matrix product.
 *
 * Dumoulin and Visin 2016, "A guide to convolution arithmetic for deep learning", https://arxiv.org/abs/1603.07285
 */
import { defineOp } from "../engine/autograd.ts";
import { defineKernel } from "../engine/kernel.ts";
import { sameShape, show } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";
import { gatherKernel, type Geometry, type Norm } from "./conv/direct.ts";
import { patchConv, patchConvInput, patchConvWeight } from "./conv/patches.ts";
import type { PatchSizes } from "./shared/patches.ts";
import { pointwiseConv, pointwiseConvWeight } from "./conv/pointwise.ts";
import { weightKernel } from "./conv/weight.ts";
import { sumTo } from "./shared/reduce.ts";

// Backward for x at strides above 2: one thread per element.
const sparseInputKernel = defineKernel({
  name: "conv2d.backwardInputSparse",
  inputs: { dy: "f32", weight: "f32" }, // (B, G*O, HO, WO), (G*O, C, KH, KW)
  outputs: { dx: "f32" }, // (B, G*C, H, W)
  constants: {
    G: "u32",
    C: "u32",
    O: "u32",
    H: "u32",
    W: "u32",
    HO: "u32",
    WO: "u32",
    KH: "u32",
    KW: "u32",
    STRIDE: "u32",
    PADDING: "u32",
  },
  params: { n: "u32" },
  workgroup: 64,
  code: /* wgsl */ `
    let t = group * WG + li;
    if (t >= p.n) { return; }
    let w = t % W; let h = (t / W) % H; let c = (t / (W * H)) % C; let bg = t / (W * H * C);
    var s = 0.0;
    for (var u = 0u; u < KH; u++) {
      for (var v = 0u; v < KW; v++) {
        let y = h + PADDING - u; let x = w + PADDING - v; // wraps to something large below 0
        if (y % STRIDE != 0u || x % STRIDE != 0u || y / STRIDE >= HO || x / STRIDE >= WO || u > h + PADDING || v > w + PADDING) { continue; }
        for (var o = 0u; o < O; o++) {
          s += weight[(((bg % G) * O + o) * C + c) * KH * KW + u * KW + v] * dy[((bg * O + o) * HO + y / STRIDE) * WO + x / STRIDE];
        }
      }
    }
    dx[t] = s;`,
});

export interface Conv2dOptions {
  readonly stride?: number;
  readonly padding?: number;
  readonly groups?: number;
}

const op = defineOp({
  name: "conv2d",

  forward([x, weight, bias]: [Tensor, Tensor, Tensor | null], { stride = 1, padding = 0, groups = 1 }: Conv2dOptions) {
    const f = geometry(x, weight, bias, stride, padding, groups);
    const patches = cutsPatches(f);
    if (patches) return { y: patchConv(x, weight, bias, patches), saved: f };
    if (isPointwise(f)) return { y: pointwiseConv(x, weight, f, { bias: bias ?? undefined }), saved: f };
    return { y: gatherKernel({ ...f, transposed: false, bias: bias !== null })(x, weight, bias), saved: f };
  },

  backward(dy, f, [x, weight, bias], _, needs) {
    const [, O, Ho, Wo] = dy.shape as [number, number, number, number];
    const patches = cutsPatches(f);
    if (patches) {
      const { dweight = null, dbias = null } = needs[1] || needs[2] ? patchConvWeight(x, dy, patches, bias !== null) : {};
      return [needs[0] ? patchConvInput(dy, weight, patches) : null, dweight, dbias];
    }
    const pointwise = isPointwise(f);
    const dx = () =>
      pointwise && f.stride === 1
        ? pointwiseConv(dy, weight, f, { back: true })
        : f.stride <= 2
          ? gatherKernel({ ...f, transposed: true, bias: false })(dy, weight, null)
          : sparseInputKernel({
              inputs: { dy, weight },
              outputs: { dx: x },
              constants: {
                G: f.groups,
                C: f.C,
                O: f.O,
                H: f.H,
                W: f.W,
                HO: Ho,
                WO: Wo,
                KH: f.kh,
                KW: f.kw,
                STRIDE: f.stride,
                PADDING: f.padding,
              },
              params: { n: x.size },
              threads: x.size,
            }).dx;
    if (pointwise) {
      const { dweight = null, dbias = null } = needs[1] || needs[2] ? pointwiseConvWeight(x, dy, f, bias !== null) : {};
      return [needs[0] ? dx() : null, dweight, dbias];
    }
    return [needs[0] ? dx() : null, needs[1] ? weightKernel(f)(x, dy) : null, bias && needs[2] ? sumTo(dy, [1, O, 1, 1]).view([O]) : null];
  },
});

/**
 * x: (B, C, H, W), weight: (O, C / groups, kh, kw), bias: (O) or null.
 * Returns (B, O, Ho, Wo), Ho = floor((H + 2 padding - kh) / stride) + 1.
 */
export const conv2d = (x: Tensor, weight: Tensor, bias: Tensor | null = null, options: Conv2dOptions = {}): Tensor =>
  op([x, weight, bias], options);

export interface ConvNormOptions extends Conv2dOptions {
  readonly eps?: number;
  /** Apply max(y, 0) last. */
  readonly relu?: boolean;
}

/** `batchNorm` of `conv2d` without a bias, with the running statistics `mean` and `variance`, in one launch. No gradient flows. */
export function convNorm(
  x: Tensor,
  weight: Tensor,
  norm: Norm,
  { stride = 1, padding = 0, groups = 1, eps = 1e-5, relu = false }: ConvNormOptions = {},
): Tensor {
  const f = geometry(x, weight, null, stride, padding, groups);
  const activation = relu ? "relu" : "none";
  const O = weight.shape[0]!;
  for (const [name, t] of Object.entries(norm))
    if (!sameShape(t.shape, [O]))
      throw new Error(`convNorm: expected ${name} [${O}] for weight ${show(weight.shape)}, got ${show(t.shape)}`);
  return isPointwise(f)
    ? pointwiseConv(x, weight, f, { norm: { ...norm, eps }, activation })
    : gatherKernel({ ...f, transposed: false, bias: false, norm: { eps, activation } })(x, weight, null, norm);
}

function geometry(x: Tensor, weight: Tensor, bias: Tensor | null, stride: number, padding: number, groups: number): Geometry {
  const refuse = (what: string) => {
    throw new Error(`conv2d: expected ${what}`);
  };
  if (x.shape.length !== 4 || weight.shape.length !== 4)
    refuse(`x [B,C,H,W] and weight [O,C/groups,kh,kw], got ${show(x.shape)} and ${show(weight.shape)}`);
  const [, channels, H, W] = x.shape as [number, number, number, number];
  const [O, C, kh, kw] = weight.shape as [number, number, number, number];
  if (![stride, groups].every((n) => Number.isInteger(n) && n > 0) || !Number.isInteger(padding) || padding < 0)
    refuse(`positive integers stride and groups and a padding of 0 or more, got ${stride}, ${groups} and ${padding}`);
  if (O % groups !== 0 || C * groups !== channels)
    refuse(
      `weight [O,${channels / groups},kh,kw] with O a multiple of ${groups} for x ${show(x.shape)} and groups ${groups}, got ${show(weight.shape)}`,
    );
  if (bias && !sameShape(bias.shape, [O])) refuse(`bias [${O}], got ${show(bias.shape)}`);
  if (H + 2 * padding < kh || W + 2 * padding < kw)
    refuse(`an image of at least ${kh}x${kw} with padding ${padding}, got ${show(x.shape)}`);
  return {
    H,
    W,
    kh,
    kw,
    stride,
    padding,
    groups,
    C,
    O: O / groups,
    Ho: Math.floor((H + 2 * padding - kh) / stride) + 1,
    Wo: Math.floor((W + 2 * padding - kw) / stride) + 1,
  };
}

/** The patches of a convolution whose stride equals its kernel's size; null for other convolutions. */
const cutsPatches = ({ C, H, W, kh, kw, stride, padding, groups }: Geometry): PatchSizes | null =>
  stride > 1 && kh === stride && kw === stride && padding === 0 && groups === 1 && H % stride === 0 && W % stride === 0
    ? { C, H, W, p: stride }
    : null;

const isPointwise = ({ kh, kw, padding, groups }: Geometry): boolean => kh === 1 && kw === 1 && padding === 0 && groups === 1;

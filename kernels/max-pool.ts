/**
 * 2-D max pooling, as PyTorch's `max_pool2d`.
 *
 *   y[n,i,j] = max over u, v of x[n, i*stride + u - padding, j*stride + v - padding], of the pixels inside the image
 *   dx[n,h,w] = sum of dy over the windows whose first maximum, row by row, is pixel (h,w)
 *
 * Boureau et al. 2010, "A theoretical analysis of feature pooling in visual recognition", https://www.di.ens.fr/willow/pdfs/icml2010b.pdf
 */
import { defineOp } from "../engine/autograd.ts";
import { defineKernel } from "../engine/kernel.ts";
import { show } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";

const common = {
  workgroup: 64,
  constants: { H: "u32", W: "u32", HO: "u32", WO: "u32", K: "u32", STRIDE: "u32", PADDING: "u32" },
  params: { n: "u32" },
} as const;

// One thread per output. `first`: the maximum's pixel, h * W + w.
const forwardKernel = defineKernel({
  ...common,
  name: "maxPool2d.forward",
  inputs: { x: "f32" }, // (N, H, W)
  outputs: { y: "f32", first: "u32?" }, // (N, HO, WO) each
  code: (_, has) => /* wgsl */ `
    let t = group * WG + li;
    if (t >= p.n) { return; }
    let image = t / (HO * WO) * H * W;
    let top = t / WO % HO * STRIDE; let left = t % WO * STRIDE; // of the window, in an image with its padding
    var best = 0.0;
    var at = H * W; // none yet
    for (var h = max(top, PADDING) - PADDING; h < min(top + K - PADDING, H); h++) {
      for (var w = max(left, PADDING) - PADDING; w < min(left + K - PADDING, W); w++) {
        let v = x[image + h * W + w];
        if (at == H * W || v > best) { best = v; at = h * W + w; }
      }
    }
    y[t] = best;
    ${has.first ? "first[t] = at;" : ""}`,
});

// One thread per pixel, over the windows that it lies in.
const backwardKernel = defineKernel({
  ...common,
  name: "maxPool2d.backward",
  inputs: { dy: "f32", first: "u32" }, // (N, HO, WO) each
  outputs: { dx: "f32" }, // (N, H, W)
  code: /* wgsl */ `
    let t = group * WG + li;
    if (t >= p.n) { return; }
    let pixel = t % (H * W); let image = t / (H * W) * HO * WO;
    let h = pixel / W + PADDING; let w = pixel % W + PADDING;
    var sum = 0.0;
    for (var i = (max(h + 1u, K) - K + STRIDE - 1u) / STRIDE; i < min(h / STRIDE + 1u, HO); i++) {
      for (var j = (max(w + 1u, K) - K + STRIDE - 1u) / STRIDE; j < min(w / STRIDE + 1u, WO); j++) {
        if (first[image + i * WO + j] == pixel) { sum += dy[image + i * WO + j]; }
      }
    }
    dx[t] = sum;`,
});

interface Attrs {
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
}

const op = defineOp({
  name: "maxPool2d",

  forward([x]: [Tensor], { kernel, stride, padding }: Attrs, differentiable) {
    const [B, C, H, W] = x.shape;
    const side = (size: number | undefined): number => Math.floor((size! + 2 * padding - kernel) / stride) + 1;
    const [HO, WO] = [side(H), side(W)];
    if (x.shape.length !== 4 || !(HO >= 1 && WO >= 1))
      throw new Error(`maxPool2d: expected x [B,C,H,W] of at least ${kernel}x${kernel} with padding ${padding}, got ${show(x.shape)}`);
    if (2 * padding > kernel) throw new Error(`maxPool2d: expected a padding of at most half the kernel ${kernel}, got ${padding}`);
    const sizes = { H: H!, W: W!, HO, WO, K: kernel, STRIDE: stride, PADDING: padding };
    const shape = [B!, C!, HO, WO];
    const n = B! * C! * HO * WO;
    const outputs = { y: { shape, dtype: x.dtype }, first: differentiable ? shape : null };
    const { y, first } = forwardKernel({ inputs: { x }, outputs, constants: sizes, params: { n }, threads: n });
    return { y, saved: { first, sizes } };
  },

  backward: (dy, { first, sizes }, [x]) => [
    backwardKernel({ inputs: { dy, first: first! }, outputs: { dx: x }, constants: sizes, params: { n: x.size }, threads: x.size }).dx,
  ],
});

/** x: (B, C, H, W). Returns (B, C, H', W') with H' = floor((H + 2 padding - kernel) / stride) + 1. */
export const maxPool2d = (x: Tensor, { kernel = 2, stride = kernel, padding = 0 }: Partial<Attrs> = {}): Tensor =>
  op([x], { kernel, stride, padding });

/**
 * Images to tokens: each p x p patch of all channels, flattened, through one fully connected layer (a convolution whose
 * stride is its kernel's size).
 *
 *   y[b, i] = W patch(x, b, i) + bias,   patches in row-major order
 *
 * Backward, with rows over all patches: dW = dy^T patches,   dbias = sum of dy,   dx = dy W put back where it was taken.
 *
 * Dosovitskiy et al. 2020, section 3.1, https://arxiv.org/abs/2010.11929
 */
import { defineOp } from "../engine/autograd.ts";
import { defineKernel } from "../engine/kernel.ts";
import { sameShape, show } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";
import { columnSums } from "./column-sums.ts";
import { gemm, type GemmVariant } from "./gemm.ts";

const WG = 64;

// x (B, C, H, W) and patches (B * P, C * p * p) hold the same values in another order.
const SIZES = { C: "u32", H: "u32", W: "u32", S: "u32" } as const;
const index = /* wgsl */ `
fn in_patches(i: u32) -> u32 {
  let column = i % W; let row = i / W % H; let channel = i / (W * H) % C; let image = i / (W * H * C);
  let token = (image * (H / S) + row / S) * (W / S) + column / S;
  return ((token * C + channel) * S + row % S) * S + column % S;
}`;

// One thread per pixel.
const patchifyKernel = defineKernel({
  name: "patchEmbed.patchify",
  inputs: { x: "f32" }, // (B, C, H, W)
  outputs: { patches: "f32" }, // (B * P, C * S * S)
  constants: SIZES,
  params: { n: "u32" },
  workgroup: WG,
  helpers: index,
  code: `let i = group * WG + li; if (i < p.n) { patches[in_patches(i)] = x[i]; }`,
});

// One thread per pixel.
const unpatchifyKernel = defineKernel({
  name: "patchEmbed.unpatchify",
  inputs: { patches: "f32" }, // (B * P, C * S * S)
  outputs: { x: "f32" }, // (B, C, H, W)
  constants: SIZES,
  params: { n: "u32" },
  workgroup: WG,
  helpers: index,
  code: `let i = group * WG + li; if (i < p.n) { x[i] = patches[in_patches(i)]; }`,
});

const op = defineOp({
  name: "patchEmbed",

  forward([x, weight, bias]: [Tensor, Tensor, Tensor | null], { variant }: { variant: GemmVariant | undefined }) {
    const [B, C, H, W] = x.shape as [number, number, number, number];
    const [D, , S] = weight.shape as [number, number, number, number];
    if (x.shape.length !== 4 || !sameShape(weight.shape, [D, C, S, S])) {
      throw new Error(`patchEmbed: expected x [B,C,H,W] and weight [D,C,p,p], got ${show(x.shape)} and ${show(weight.shape)}`);
    }
    if (H % S !== 0 || W % S !== 0) throw new Error(`patchEmbed: expected sides that are multiples of ${S}, got ${show(x.shape)}`);
    if (bias && !sameShape(bias.shape, [D])) throw new Error(`patchEmbed: expected bias [${D}] for weight ${show(weight.shape)}, got ${show(bias.shape)}`);
    const P = (H / S) * (W / S), K = C * S * S;
    const move = { constants: { C, H, W, S }, params: { n: x.size }, groups: Math.ceil(x.size / WG) };
    const { patches } = patchifyKernel({ ...move, inputs: { x }, outputs: { patches: [B * P, K] } });
    const { y } = gemm({
      a: { tensor: patches }, b: { tensor: weight, transposed: true }, M: B * P, N: D, K, shape: [B, P, D], bias: bias ?? undefined, variant,
    });
    return { y, saved: { patches, move, rows: B * P, D, K } };
  },

  backward(dy, { patches, move, rows, D, K }, [x, weight, bias], { variant }, needs) {
    const dx = () => {
      const { y } = gemm({ a: { tensor: dy }, b: { tensor: weight }, M: rows, N: K, K: D, shape: [rows, K], variant });
      return unpatchifyKernel({ ...move, inputs: { patches: y }, outputs: { x: x.shape } }).x;
    };
    return [
      needs[0] ? dx() : null,
      needs[1] ? gemm({ a: { tensor: dy, transposed: true }, b: { tensor: patches }, M: D, N: K, K: rows, shape: weight.shape, variant }).y : null,
      bias && needs[2] ? columnSums(dy, D) : null,
    ];
  },
});

/** x: [B, C, H, W], weight: [D, C, p, p], bias: [D]. Returns [B, P, D], P = (H / p) (W / p). */
export const patchEmbed = (x: Tensor, weight: Tensor, bias: Tensor | null = null, { variant }: { readonly variant?: GemmVariant | undefined } = {}): Tensor =>
  op([x, weight, bias], { variant });

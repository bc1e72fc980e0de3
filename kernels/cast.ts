/** Element types: y = x rounded to f16, or widened to f32. dx = dy as x's type; a gradient of that type is passed on unchanged. */
import { defineOp } from "../engine/autograd.ts";
import { defineKernel, kernelFamily } from "../engine/kernel.ts";
import type { Tensor } from "../engine/tensor.ts";
import { typeOf, widthFor, type Width } from "./shared/width.ts";

const WG = 64;

// One thread per four elements, or per element if their number is not a multiple of four.
const kernel = kernelFamily(({ W }: { readonly W: Width }) =>
  defineKernel({
    name: "cast",
    inputs: { xs: typeOf(W) },
    outputs: { ys: typeOf(W) },
    params: { n: "u32" },
    workgroup: WG,
    code: `let i = group * WG + li; if (i < p.n) { ys[i] = xs[i]; }`,
  }),
);

function converted(x: Tensor, dtype: "f32" | "f16"): Tensor {
  if (x.dtype === dtype) return x;
  const W = widthFor(x.size);
  return kernel({ W })({ inputs: { xs: x }, outputs: { ys: { shape: x.shape, dtype } }, params: { n: x.size / W }, threads: x.size / W })
    .ys;
}

const op = defineOp({
  name: "cast",
  forward: ([x]: [Tensor], dtype: "f32" | "f16") => ({ y: converted(x, dtype), saved: null }),
  backward: (dy, _, [x]) => [converted(dy, x.dtype as "f32" | "f16")],
});

const copyOp = defineOp({
  name: "cast",
  forward: (_: [Tensor], copy: Tensor) => ({ y: copy.detach(), saved: null }),
  backward: (dy, _, [x]) => [converted(dy, x.dtype as "f32" | "f16")],
});

/** The cast of x that `copy` holds already, kept up to date by whoever changes x: no launch, and gradients reach x. */
export const castKept = (x: Tensor, copy: Tensor): Tensor => copyOp([x], copy);

/** x: f32 or f16, of any shape. Returns its values as `dtype`; x itself if that is its type. */
export function cast(x: Tensor, dtype: "f32" | "f16"): Tensor {
  if (x.dtype !== "f32" && x.dtype !== "f16") throw new Error(`cast: expected f32 or f16, got ${x.dtype}`);
  return x.dtype === dtype ? x : op([x], dtype);
}

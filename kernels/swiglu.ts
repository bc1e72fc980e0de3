/**
 * The gated activation of an MLP, SwiGLU without its products: the first half of each row is the gate of the second.
 *
 *   y = silu(g) * v,   [g, v] = u,   silu(g) = g s,   s = 1 / (1 + exp(-g))
 *
 * Backward: dg = dy * v * s * (1 + g (1 - s)),   dv = dy * silu(g)
 *
 * Shazeer 2020, "GLU variants improve transformer", https://arxiv.org/abs/2002.05202
 */
import { defineOp } from "../engine/autograd.ts";
import { defineKernel, kernelFamily } from "../engine/kernel.ts";
import { show } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";
import { typeOf, widthFor } from "./shared/width.ts";

const WG = 256;

// One thread per vector (or element) of y.
const kernels = kernelFamily(({ W }: { readonly W: 1 | 4 }) => {
  const T = typeOf(W);
  const common = { params: { n: "u32", H: "u32" }, workgroup: { upTo: WG } } as const; // H: vectors of a row of y
  const load = "let i = group * WG + li; if (i >= p.n) { return; } let at = i / p.H * p.H + i; let g = u[at]; let v = u[at + p.H];";
  return {
    forward: defineKernel({
      ...common,
      name: "swiglu.forward",
      inputs: { u: T }, // (N, 2 H)
      outputs: { y: T }, // (N, H)
      code: `${load} y[i] = g / (1.0 + exp(-g)) * v;`,
    }),
    backward: defineKernel({
      ...common,
      name: "swiglu.backward",
      inputs: { u: T, dy: T }, // (N, 2 H), (N, H)
      outputs: { du: T }, // (N, 2 H)
      code: `${load} let d = dy[i]; let s = 1.0 / (1.0 + exp(-g));
      du[at] = d * v * s * (1.0 + g / (1.0 + exp(g)));
      du[at + p.H] = d * g * s;`,
    }),
  };
});

function plan(u: Tensor) {
  const H = u.shape.at(-1)! / 2;
  const W = widthFor(H),
    n = u.size / 2 / W;
  return { ...kernels({ W }), H, grid: { params: { n, H: H / W }, threads: n } };
}

const op = defineOp({
  name: "swiglu",
  forward([u]: [Tensor]) {
    if (u.shape.length === 0 || u.shape.at(-1)! % 2 !== 0) throw new Error(`swiglu: expected u [..,2*H], got ${show(u.shape)}`);
    const { forward, H, grid } = plan(u);
    return { y: forward({ ...grid, inputs: { u }, outputs: { y: { shape: u.shape.with(-1, H), dtype: u.dtype } } }).y, saved: null };
  },
  backward(dy, _, [u]) {
    const { backward, grid } = plan(u);
    return [backward({ ...grid, inputs: { u, dy }, outputs: { du: u } }).du];
  },
});

/** u: (.., 2 H), gates before values. Returns (.., H). */
export const swiglu = (u: Tensor): Tensor => op([u], null);

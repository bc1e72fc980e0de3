/**
 * Sums down the columns of a matrix, as bias gradients need them: stripes of rows side by side, then the stripes, in a
 * fixed order. Optionally of dy * gelu'(u), which is written out on the way.
 */
import { defineKernel } from "../engine/kernel.ts";
import type { Tensor } from "../engine/tensor.ts";
import { geluWgsl } from "./math.ts";

const WG = 64;
const STRIPE = 64;

// One thread per column of a stripe.
const stripeKernel = defineKernel({
  name: "columnSums",
  inputs: { x: "f32" }, // (N, D)
  outputs: { y: "f32" }, // (N / STRIPE, D)
  params: { N: "u32", D: "u32", n: "u32" },
  workgroup: WG,
  code: /* wgsl */ `
    let i = group * WG + li;
    if (i < p.n) {
      let first = i / p.D * ${STRIPE}u;
      let last = min(first + ${STRIPE}u, p.N);
      var s = 0.0;
      for (var row = first; row < last; row++) { s += x[row * p.D + i % p.D]; }
      y[i] = s;
    }`,
});

// The same, of du = dy * gelu'(u).
const geluStripeKernel = defineKernel({
  name: "columnSums.gelu",
  inputs: { dy: "f32", u: "f32" }, // (N, D), (N, D)
  outputs: { du: "f32", y: "f32" }, // (N, D), (N / STRIPE, D)
  params: { N: "u32", D: "u32", n: "u32" },
  workgroup: WG,
  helpers: geluWgsl,
  code: /* wgsl */ `
    let i = group * WG + li;
    if (i < p.n) {
      let first = i / p.D * ${STRIPE}u;
      let last = min(first + ${STRIPE}u, p.N);
      var s = 0.0;
      for (var row = first; row < last; row++) {
        let at = row * p.D + i % p.D;
        let d = dy[at] * gelu_grad(u[at]);
        du[at] = d;
        s += d;
      }
      y[i] = s;
    }`,
});

function grid(N: number, D: number) {
  const stripes = Math.ceil(N / STRIPE);
  return { stripes, params: { N, D, n: stripes * D }, groups: Math.ceil((stripes * D) / WG) };
}

/** x: N rows of D. Returns (D). */
export function columnSums(x: Tensor, D: number): Tensor {
  const { stripes, ...run } = grid(x.size / D, D);
  const { y } = stripeKernel({ ...run, inputs: { x }, outputs: { y: [stripes, D] } });
  return stripes > 1 ? columnSums(y, D) : y.view([D]);
}

/** dy, u: N rows of D. Returns du = dy * gelu'(u), shaped like dy, and its column sums (D). */
export function geluBackwardSums(dy: Tensor, u: Tensor, D: number): { readonly du: Tensor; readonly sums: Tensor } {
  const { stripes, ...run } = grid(dy.size / D, D);
  const { du, y } = geluStripeKernel({ ...run, inputs: { dy, u }, outputs: { du: dy.shape, y: [stripes, D] }, store: { du: dy.dtype } });
  return { du, sums: stripes > 1 ? columnSums(y, D) : y.view([D]) };
}

/**
 * Sums down the columns of a matrix, as bias gradients need them: stripes of rows side by side, then the stripes, in a
 * fixed order. Optionally of dy * act'(u), which is written out on the way.
 */
import { defineKernel, kernelFamily } from "../../engine/kernel.ts";
import type { Tensor } from "../../engine/tensor.ts";
import { addParts } from "./add-parts.ts";
import { activationOf, type Activation } from "./activations.ts";
import { alongStripe, stripesOf, sumMiddle } from "./reduce.ts";
import { typeOf, widthFor, type Width } from "./width.ts";

const WG = 128;

// One thread per column (vector) of a stripe: sums of du = dy * act'(u).
const activationKernel = kernelFamily(({ activation, W }: { readonly activation: Activation; readonly W: Width }) => {
  const T = typeOf(W);
  return defineKernel({
    name: `columnSums.${activation}`,
    inputs: { dy: T, u: T }, // (N, D), (N, D)
    outputs: { du: T, y: T }, // (N, D), (parts, D)
    params: { N: "u32", len: "u32", n: "u32", stripe: "u32" },
    workgroup: WG,
    helpers: activationOf(activation, T),
    code: /* wgsl */ `
    let i = group * WG + li;
    if (i < p.n) {
      let first = i / p.len * p.stripe;
      let end = min(first + p.stripe, p.N);
      ${alongStripe(T, (n) => `let at = (row + ${n}u) * p.len + i % p.len; let d = dy[at] * ${activation}_grad(u[at]); du[at] = d; s${n} += d;`)}
      y[i] = s0;
    }`,
  });
});

/** x: N rows of D. Returns (D). */
export const columnSums = (x: Tensor, D: number): Tensor => sumMiddle(x, 1, x.size / D, D).view([D]);

/** dy, u: N rows of D. Returns du = dy * act'(u), shaped like dy, and its column sums (D). */
export function activationBackwardSums(
  activation: Exclude<Activation, "none">,
  dy: Tensor,
  u: Tensor,
  D: number,
): { readonly du: Tensor; readonly sums: Tensor } {
  const N = dy.size / D,
    W = widthFor(D),
    len = D / W;
  const { stripe, parts } = stripesOf(N, len);
  const { du, y } = activationKernel({ activation, W })({
    inputs: { dy, u },
    outputs: { du: dy, y: [parts, D] },
    params: { N, len, n: parts * len, stripe },
    threads: parts * len,
  });
  return { du, sums: parts === 1 ? y.view([D]) : addParts([y])[0] };
}

/** Puts a tensor among zeros: a slice's gradient. */
import { defineKernel, kernelFamily } from "../../engine/kernel.ts";
import { numel, type Shape } from "../../engine/shape.ts";
import type { Tensor } from "../../engine/tensor.ts";
import { strides } from "./axes.ts";
import { typeOf, widthFor, type Width } from "./width.ts";

// x seen as (OUTER, LEN), its middle as (OUTER, WIDTH). One thread per element of dx.
const kernel = kernelFamily(({ W }: { readonly W: Width }) =>
  defineKernel({
    name: "slice.backward",
    inputs: { dy: typeOf(W) }, // (OUTER, WIDTH)
    outputs: { dx: typeOf(W) }, // (OUTER, LEN)
    params: { n: "u32", len: "u32", start: "u32", width: "u32" },
    workgroup: 64,
    code: /* wgsl */ `
    let i = group * WG + li;
    if (i < p.n) {
      let at = i % p.len;
      var v = ${typeOf(W)}();
      if (at >= p.start && at < p.start + p.width) { v = dy[(i / p.len) * p.width + at - p.start]; }
      dx[i] = v;
    }`,
  }),
);

/** dy with zeros before and after it along the axis: of `shape`, dy from index `start` on. Not differentiable by itself. */
export function amongZeros(dy: Tensor, shape: Shape, axis: number, start: number): Tensor {
  const inner = strides(shape)[axis]!;
  const lengths = [shape[axis]! * inner, start * inner, dy.shape[axis]! * inner] as const;
  const W = widthFor(...lengths);
  const params = { n: numel(shape) / W, len: lengths[0] / W, start: lengths[1] / W, width: lengths[2] / W };
  return kernel({ W })({ inputs: { dy }, outputs: { dx: { shape, dtype: dy.dtype } }, params, threads: params.n }).dx;
}

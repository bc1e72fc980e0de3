/** Puts a tensor among zeros: a slice's gradient. */
import { defineKernel, kernelFamily, type Elem } from "../../engine/kernel.ts";
import { numel, type Shape } from "../../engine/shape.ts";
import type { Tensor } from "../../engine/tensor.ts";
import { strides } from "./axes.ts";
import { typeOf, widthFor } from "./width.ts";

// x seen as (OUTER, LEN), its middle as (OUTER, WIDTH). One thread per element of dx.
const kernel = kernelFamily(({ elem }: { elem: Elem }) =>
  defineKernel({
    name: "slice.backward",
    inputs: { dy: elem }, // (OUTER, WIDTH)
    outputs: { dx: elem }, // (OUTER, LEN)
    params: { n: "u32", len: "u32", start: "u32", width: "u32" },
    workgroup: 64,
    code: /* wgsl */ `
    let i = group * WG + li;
    if (i < p.n) {
      let at = i % p.len;
      var v = ${elem}();
      if (at >= p.start && at < p.start + p.width) { v = dy[(i / p.len) * p.width + at - p.start]; }
      dx[i] = v;
    }`,
  }),
);

/** dy with zeros before and after it along the axis: of `shape`, dy from index `start` on. Not differentiable by itself. */
export function amongZeros(dy: Tensor, shape: Shape, axis: number, start: number): Tensor {
  const inner = strides(shape)[axis]!;
  const lengths = [shape[axis]! * inner, start * inner, dy.shape[axis]! * inner] as const;
  const width = widthFor(...lengths);
  const params = { n: numel(shape) / width, len: lengths[0] / width, start: lengths[1] / width, width: lengths[2] / width };
  return kernel({ elem: typeOf(width) })({ inputs: { dy }, outputs: { dx: { shape, dtype: dy.dtype } }, params, threads: params.n }).dx;
}

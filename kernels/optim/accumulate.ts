/** Accumulates gradients of several batches: sum <- keep sum + share g, in place; `keep` 0 starts over. An update rule: no backward. */
import { defineKernel } from "../../engine/kernel.ts";
import type { Scalar } from "../shared/scalars.ts";
import { sameShape, show } from "../../engine/shape.ts";
import type { Tensor } from "../../engine/tensor.ts";

const WG = 256;

// One thread per four elements. With `keep` 0 the sum is selected away, since 0 * NaN is not 0.
const kernel = defineKernel({
  name: "accumulate",
  inputs: { g: "vec4f", scalars: "u32" }, // (n), (any)
  updates: { sum: "vec4f" }, // (n)
  constants: { AT: "u32" },
  params: { n4: "u32", share: "f32" },
  workgroup: { upTo: WG },
  code: /* wgsl */ `
    let i = group * WG + li;
    if (i >= p.n4) { return; }
    let keep = bitcast<f32>(scalars[AT]);
    sum[i] = select(keep * sum[i], vec4f(), keep == 0.0) + p.share * g[i];`,
});

/** Both flat and of one length, a multiple of 4. */
export function accumulate(
  { sum, g }: Readonly<Record<"sum" | "g", Tensor>>,
  { keep, share }: { readonly keep: Scalar; readonly share: number },
): void {
  if (!sameShape(sum.shape, g.shape) || sum.size % 4 !== 0)
    throw new Error(`accumulate: expected two buffers of one length, a multiple of 4, got ${show(sum.shape)} and ${show(g.shape)}`);
  kernel({
    inputs: { g, scalars: keep.tensor },
    updates: { sum },
    constants: { AT: keep.at },
    params: { n4: sum.size / 4, share },
    threads: sum.size / 4,
  });
}

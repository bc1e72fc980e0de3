/**
 * Finds the first NaN or infinite element of a tensor, by exponent bits, since WGSL may assume that neither occurs.
 */
import { defineKernel } from "../../engine/kernel.ts";
import type { Tensor } from "../../engine/tensor.ts";

const WG = 256;

/** The index returned if every element is finite. */
export const ALL_FINITE = 0xffffffff;

// One workgroup: each thread searches every WG-th element; thread 0 takes the smallest index found.
const kernel = defineKernel({
  name: "firstNotFinite",
  inputs: { x: "f32" }, // (n)
  outputs: { y: "u32" }, // (2)
  params: { n: "u32" },
  workgroup: { upTo: WG },
  helpers: "var<workgroup> found: array<u32, WG>;",
  code: /* wgsl */ `
    var first = ${ALL_FINITE}u;
    for (var i = li; i < p.n; i += WG) {
      if ((bitcast<u32>(f32(x[i])) & 0x7f800000u) == 0x7f800000u) { first = i; break; }
    }
    found[li] = first;
    workgroupBarrier();
    if (li != 0u) { return; }
    for (var t = 1u; t < WG; t++) { first = min(first, found[t]); }
    y[0] = first;
    y[1] = bitcast<u32>(f32(x[min(first, p.n - 1u)]));`,
});

/** x: any shape, f32 or f16. Returns u32 (2): the first such element's index, or `ALL_FINITE`, and the element's bits as f32. */
export const firstNotFinite = (x: Tensor): Tensor => kernel({ inputs: { x }, outputs: { y: [2] }, params: { n: x.size }, groups: 1 }).y;

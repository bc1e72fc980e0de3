/**
 * The norm of a flat gradient buffer, and whether every element is finite.
 *
 * Two stages in a fixed order. Finiteness is read off the exponent bits, for WGSL may assume that NaN and infinity never occur.
 */
import { defineKernel } from "../engine/kernel.ts";
import type { Tensor } from "../engine/tensor.ts";
import { workgroupSum } from "./reduce.ts";

const WG = 64;
/** Threads of the first stage at most. */
const PARTS = 8192;

// One thread per part: every `parts`-th element.
const partsKernel = defineKernel({
  name: "gradNorm.parts",
  inputs: { x: "f32" }, // (n)
  outputs: { squares: "f32", broken: "f32" }, // (parts) each
  params: { n: "u32", parts: "u32" },
  workgroup: WG,
  code: /* wgsl */ `
    let part = group * WG + li;
    if (part >= p.parts) { return; }
    var sum = 0.0;
    var bad = 0.0;
    for (var i = part; i < p.n; i += p.parts) {
      let v = x[i];
      let finite = (bitcast<u32>(v) & 0x7f800000u) != 0x7f800000u;
      sum += select(0.0, v * v, finite);
      bad += select(1.0, 0.0, finite);
    }
    squares[part] = sum;
    broken[part] = bad;`,
});

// One workgroup.
const addKernel = defineKernel({
  name: "gradNorm.add",
  inputs: { squares: "f32", broken: "f32" }, // (parts) each
  outputs: { y: "f32" }, // (2)
  params: { parts: "u32" },
  workgroup: WG,
  helpers: workgroupSum,
  code: /* wgsl */ `
    var sum = 0.0;
    var bad = 0.0;
    for (var i = li; i < p.parts; i += WG) { sum += squares[i]; bad += broken[i]; }
    let total = workgroup_sum(sum, li);
    let count = workgroup_sum(bad, li);
    if (li == 0u) {
      // Squares of large finite gradients may overflow in the sum: that is no finite norm either.
      let finite = count == 0.0 && (bitcast<u32>(total) & 0x7f800000u) != 0x7f800000u;
      y[0] = sqrt(total);
      y[1] = select(0.0, 1.0, finite);
    }`,
});

/** x: any shape. Returns (2): the norm, and 1 if every element is finite else 0. */
export function gradNorm(x: Tensor): Tensor {
  const n = x.size;
  const parts = Math.min(PARTS, Math.ceil(n / 16));
  const { squares, broken } = partsKernel({ inputs: { x }, outputs: { squares: [parts], broken: [parts] }, params: { n, parts }, groups: Math.ceil(parts / WG) });
  return addKernel({ inputs: { squares, broken }, outputs: { y: [2] }, params: { parts }, groups: 1 }).y;
}

/**
 * The norm of a flat gradient buffer, and whether every element is finite.
 *
 * Two stages in a fixed order. Finiteness is tested on exponent bits, since WGSL may assume that NaN and infinity never occur.
 */
import { defineKernel } from "../../engine/kernel.ts";
import { show } from "../../engine/shape.ts";
import type { Tensor } from "../../engine/tensor.ts";
import { workgroupSum } from "../shared/reduce.ts";

const WG = 256;
/** Largest number of workgroups of the first stage, and loads in flight per thread. */
const PARTS = 1024;
const FLIGHT = 4;

const numbers = Array.from({ length: FLIGHT }, (_, n) => n);

// Threads take vectors in turn, and add them up; then each workgroup adds up its threads.
const partsKernel = defineKernel({
  name: "gradNorm.parts",
  inputs: { x: "vec4f" }, // (n)
  outputs: { squares: "f32", broken: "f32" }, // (parts) each
  params: { n4: "u32", parts: "u32" },
  workgroup: { upTo: WG },
  helpers: workgroupSum,
  code: /* wgsl */ `
    var sum = 0.0;
    var bad = 0.0;
    for (var i = group * WG + li; i < p.n4; i += p.parts * WG * ${FLIGHT}u) {
      ${numbers.map((n) => `var v${n} = vec4f(); if (i + ${n}u * p.parts * WG < p.n4) { v${n} = x[i + ${n}u * p.parts * WG]; }`).join("\n      ")}
      ${numbers.map((n) => `let finite${n} = (bitcast<vec4u>(v${n}) & vec4u(0x7f800000u)) != vec4u(0x7f800000u); v${n} = select(vec4f(), v${n}, finite${n});`).join("\n      ")}
      sum += ${numbers.map((n) => `dot(v${n}, v${n})`).join(" + ")};
      bad = select(1.0, bad, ${numbers.map((n) => `all(finite${n})`).join(" && ")});
    }
    sum = workgroup_sum(sum, li);
    bad = workgroup_sum(bad, li);
    if (li == 0u) { squares[group] = sum; broken[group] = bad; }`,
});

// One workgroup.
const addKernel = defineKernel({
  name: "gradNorm.add",
  inputs: { squares: "f32", broken: "f32" }, // (parts) each
  outputs: { y: "f32" }, // (2)
  params: { parts: "u32" },
  workgroup: { upTo: WG },
  helpers: workgroupSum,
  code: /* wgsl */ `
    var sum = 0.0;
    var bad = 0.0;
    for (var i = li; i < p.parts; i += WG) { sum += squares[i]; bad += broken[i]; }
    sum = workgroup_sum(sum, li);
    bad = workgroup_sum(bad, li);
    if (li == 0u) {
      // Squares of large finite gradients may overflow in the sum: that is no finite norm either.
      let finite = bad == 0.0 && (bitcast<u32>(sum) & 0x7f800000u) != 0x7f800000u;
      y[0] = sqrt(sum);
      y[1] = select(0.0, 1.0, finite);
    }`,
});

/**
 * x: any shape, a multiple of 4 elements. Returns (2): the norm of the finite elements, and 1 if every element and the norm
 * are finite, else 0.
 */
export function gradNorm(x: Tensor): Tensor {
  if (x.size % 4 !== 0) throw new Error(`gradNorm: expected a multiple of 4 elements, got ${show(x.shape)}`);
  const n4 = x.size / 4;
  const parts = Math.min(PARTS, Math.ceil(n4 / WG / FLIGHT));
  const { squares, broken } = partsKernel({
    inputs: { x },
    outputs: { squares: [parts], broken: [parts] },
    params: { n4, parts },
    groups: parts,
  });
  return addKernel({ inputs: { squares, broken }, outputs: { y: [2] }, params: { parts }, groups: 1 }).y;
}

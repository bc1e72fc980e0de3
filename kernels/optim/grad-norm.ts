/**
 * The norm of flat gradients, in one buffer or several, and whether every element is finite. In f16 the gradients are of a loss that was
 * multiplied (loss-scale.ts): the norm is divided by that factor, and the update rules, which read the rest of the result, divide what they
 * load.
 *
 * Two stages in a fixed order. Finiteness is tested on exponent bits, since WGSL may assume that NaN and infinity never occur.
 */
import { getDevice } from "../../engine/device.ts";
import { defineKernel, kernelFamily } from "../../engine/kernel.ts";
import { show } from "../../engine/shape.ts";
import type { Tensor } from "../../engine/tensor.ts";
import { workgroupSum } from "../shared/reduce.ts";

const WG = 256;
/** Largest number of workgroups of the first stage; on a processor, where each costs what its barriers take, few. */
const mostParts = (): number => (getDevice().adapter.software ? 16 : 1024);
/** Loads in flight per thread. */
const FLIGHT = 4;

/** Buffers that one launch reads: WebGPU's default limit is 8, and two are written. */
export const NORM_BUFFERS = 6;

const numbers = Array.from({ length: FLIGHT }, (_, n) => n);

const nameOf = (i: number): string => (i === 0 ? "x" : `x${i}`);

/** Vector i of buffers that lie one after another: x, x1 and on, each of which ends at its `end`. */
const across = (buffers: number): string => /* wgsl */ `
fn at(i: u32) -> vec4f {
  if (i < p.end0) { return x[i]; }
  ${Array.from({ length: buffers - 1 }, (_, b) => `if (i < p.end${b + 1}) { return x${b + 1}[i - p.end${b}]; }`).join("\n  ")}
  return vec4f();
}`;

const named = <T>(count: number, name: (i: number) => string, value: (i: number) => T): Record<string, T> =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [name(i), value(i)]));

// Threads take vectors in turn, and add them up; then each workgroup adds up its threads. The order does not depend on the buffers.
const partsKernel = kernelFamily(({ buffers }: { buffers: number }) => {
  const load = (i: string) => (buffers > 1 ? `at(${i})` : `x[${i}]`);
  return defineKernel({
    name: "gradNorm.parts",
    inputs: named(buffers, nameOf, () => "vec4f" as const), // (n) each
    outputs: { squares: "f32", broken: "f32" }, // (parts) each
    params: {
      n4: "u32",
      parts: "u32",
      ...named(
        buffers > 1 ? buffers : 0,
        (i) => `end${i}`,
        () => "u32" as const,
      ),
    },
    workgroup: { upTo: WG },
    helpers: buffers > 1 ? workgroupSum + across(buffers) : workgroupSum,
    code: /* wgsl */ `
    var sum = 0.0;
    var bad = 0.0;
    for (var i = group * WG + li; i < p.n4; i += p.parts * WG * ${FLIGHT}u) {
      ${numbers.map((n) => `var v${n} = vec4f(); if (i + ${n}u * p.parts * WG < p.n4) { v${n} = ${load(`i + ${n}u * p.parts * WG`)}; }`).join("\n      ")}
      ${numbers.map((n) => `let finite${n} = (bitcast<vec4u>(v${n}) & vec4u(0x7f800000u)) != vec4u(0x7f800000u); v${n} = select(vec4f(), v${n}, finite${n});`).join("\n      ")}
      sum += ${numbers.map((n) => `dot(v${n}, v${n})`).join(" + ")};
      bad = select(1.0, bad, ${numbers.map((n) => `all(finite${n})`).join(" && ")});
    }
    sum = workgroup_sum(sum, li);
    bad = workgroup_sum(bad, li);
    if (li == 0u) { squares[group] = sum; broken[group] = bad; }`,
  });
});

// One workgroup.
const addKernel = defineKernel({
  name: "gradNorm.add",
  inputs: { squares: "f32", broken: "f32", scale: "f32?" }, // (parts) each, ()
  outputs: { y: "f32" }, // (3)
  params: { parts: "u32" },
  workgroup: { upTo: WG },
  helpers: workgroupSum,
  code: (_, has) => /* wgsl */ `
    var sum = 0.0;
    var bad = 0.0;
    for (var i = li; i < p.parts; i += WG) { sum += squares[i]; bad += broken[i]; }
    sum = workgroup_sum(sum, li);
    bad = workgroup_sum(bad, li);
    if (li == 0u) {
      // Squares of large finite gradients may overflow in the sum: that is no finite norm either.
      let finite = bad == 0.0 && (bitcast<u32>(sum) & 0x7f800000u) != 0x7f800000u;
      let share = ${has.scale ? "1.0 / scale[0]" : "1.0"};
      y[0] = sqrt(sum) * share;
      y[1] = select(0.0, 1.0, finite);
      y[2] = share;
    }`,
});

/**
 * xs: at most `NORM_BUFFERS` of any shape, a multiple of 4 elements each; scale: (), a power of two that all are multiplied by. Returns (3):
 * the norm of their finite elements, divided by the scale; 1 if every element and the norm are finite, else 0; and what the update rules
 * multiply each element by, 1 / scale. Buffers one after another have the norm, in the same bits, that one buffer of them has.
 */
export function gradNorm(xs: readonly Tensor[], scale: Tensor | null = null): Tensor {
  const odd = xs.find(({ size }) => size % 4 !== 0);
  if (odd) throw new Error(`gradNorm: expected a multiple of 4 elements, got ${show(odd.shape)}`);
  if (xs.length > NORM_BUFFERS) throw new Error(`gradNorm: expected at most ${NORM_BUFFERS} buffers, got ${xs.length}`);
  let n4 = 0;
  const ends = xs.map(({ size }) => (n4 += size / 4));
  const parts = Math.min(mostParts(), Math.ceil(n4 / WG / FLIGHT));
  const { squares, broken } = partsKernel({ buffers: xs.length })({
    inputs: named(xs.length, nameOf, (i) => xs[i]!),
    outputs: { squares: [parts], broken: [parts] },
    params: {
      n4,
      parts,
      ...named(
        xs.length > 1 ? xs.length : 0,
        (i) => `end${i}`,
        (i) => ends[i]!,
      ),
    },
    groups: parts,
  });
  return addKernel({ inputs: { squares, broken, scale }, outputs: { y: [3] }, params: { parts }, groups: 1 }).y;
}

/**
 * Gaussian blur of those images of a batch whose record says so, Pillow's to the bit: three box blurs along x, then three along y, each
 * rounded to bytes; pixels beyond the image are its border's.
 *
 *   y_i = (weight (sum of x from i - r to i + r) + part (x_{i-r-1} + x_{i+r+1}) + 2^23) >> 24
 *
 * Gwosdek et al. 2011, https://doi.org/10.1007/978-3-642-24785-9_38
 */
import { defineKernel } from "../../engine/kernel.ts";
import type { Tensor } from "../../engine/tensor.ts";
import { checkSlot, CODES, pixelWgsl, WORDS, type Slot } from "./records.ts";

const WG = 64;
const PASSES = 3;

// One thread per pixel, one box.
const kernel = defineKernel({
  name: "augmentBlur",
  inputs: { x: "u32", records: "u32" }, // (B, H, W), (B, slots, 16)
  outputs: { y: "u32" }, // (B, H, W)
  params: { n: "u32", area: "u32", length: "u32", stride: "u32", slots: "u32", slot: "u32" }, // of the axis
  workgroup: WG,
  helpers: `${pixelWgsl}fn load(at: u32) -> vec3u { return unpack(x[at]); }`,
  code: /* wgsl */ `
    let i = group * WG + li;
    if (i >= p.n) { return; }
    let r = (i / p.area * p.slots + p.slot) * ${WORDS}u;
    if (records[r] != ${CODES.blur}u) {
      y[i] = x[i];
      return;
    }
    let radius = i32(records[r + 1u]);
    let here = i % p.area / p.stride % p.length;
    let first = i - here * p.stride;
    let at = i32(here);
    let last = i32(p.length) - 1;
    var sum = vec3u(0u);
    for (var k = -radius; k <= radius; k++) { sum += load(first + u32(clamp(at + k, 0, last)) * p.stride); }
    let ends = load(first + u32(clamp(at - radius - 1, 0, last)) * p.stride) + load(first + u32(clamp(at + radius + 1, 0, last)) * p.stride);
    y[i] = pack((sum * records[r + 2u] + ends * records[r + 3u] + ${2 ** 23}u) >> vec3u(24u));`,
});

/** Pixels u32 (B, H, W), blurred where the slot's record is a blur. */
export function augmentBlur(x: Tensor, { records, slot }: Slot): Tensor {
  const { B, height, width, slots } = checkSlot("augmentBlur", x, { records, slot });
  const area = height * width;
  const n = B * area;
  let y = x;
  for (const [length, stride] of [
    [width, 1],
    [height, width],
  ] as const) {
    for (let pass = 0; pass < PASSES; pass++) {
      y = kernel({ inputs: { x: y, records }, outputs: { y: x.shape }, params: { n, area, length, stride, slots, slot }, threads: n }).y;
    }
  }
  return y;
}

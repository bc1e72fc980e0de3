/** Bytes to model input: y = (byte / 255 - mean[c]) / std[c]. No gradient: images are given. */
import { defineKernel } from "../engine/kernel.ts";
import { show } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";

const WG = 64;

// One thread per word of four bytes.
const kernel = defineKernel({
  name: "normalizeImages",
  inputs: { bytes: "u32" }, // (B, C, H, W) bytes, four to a word
  outputs: { y: "f32" }, // (B, C, H, W)
  constants: { HW: "u32", M0: "f32", M1: "f32", M2: "f32", S0: "f32", S1: "f32", S2: "f32" },
  params: { words: "u32" },
  workgroup: WG,
  code: /* wgsl */ `
    let word = group * WG + li;
    if (word >= p.words) { return; }
    let v = bytes[word];
    for (var k = 0u; k < 4u; k++) {
      let i = word * 4u + k;
      let c = (i / HW) % 3u;
      let mean = select(select(M0, M1, c == 1u), M2, c == 2u);
      let deviation = select(select(S0, S1, c == 1u), S2, c == 2u);
      y[i] = (f32((v >> (8u * k)) & 0xffu) / 255.0 - mean) / deviation;
    }`,
});

/** images: (B, 3, H, W) u8. mean and std per channel, of values in [0, 1]. Returns (B, 3, H, W) f32. */
export function normalizeImages(images: Tensor, { mean, std }: { readonly mean: readonly number[]; readonly std: readonly number[] }): Tensor {
  const [B, C, H, W] = images.shape;
  if (images.shape.length !== 4 || C !== 3 || images.dtype !== "u8") throw new Error(`normalizeImages: expected u8 images [B,3,H,W], got ${images.dtype} ${show(images.shape)}`);
  if (mean.length !== 3 || std.length !== 3 || std.some((s) => !(s > 0))) throw new Error(`normalizeImages: expected 3 means and 3 positive deviations, got ${show(mean)} and ${show(std)}`);
  if (images.size % 4 !== 0) throw new Error(`normalizeImages: expected a multiple of 4 bytes, got ${images.size} in ${show([B!, C, H!, W!])}`);
  const [M0, M1, M2] = mean as [number, number, number];
  const [S0, S1, S2] = std as [number, number, number];
  const words = images.size / 4;
  return kernel({ inputs: { bytes: images }, outputs: { y: images.shape }, constants: { HW: H! * W!, M0, M1, M2, S0, S1, S2 }, params: { words }, groups: Math.ceil(words / WG) }).y;
}

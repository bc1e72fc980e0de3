/** Bytes to model input: y = (byte / 255 - mean[c]) / std[c]. No gradient: images are given. */
import { defineKernel, kernelFamily } from "../../engine/kernel.ts";
import { show } from "../../engine/shape.ts";
import type { Tensor } from "../../engine/tensor.ts";

const WG = 64;

const list = (values: readonly number[]): string => `array<f32, ${values.length}>(${values.map((v) => v.toExponential()).join(", ")})`;

// One thread per word of four bytes; they may belong to different channels.
const kernel = kernelFamily(({ mean, std }: { mean: readonly number[]; std: readonly number[] }) =>
  defineKernel({
    name: "normalizeImages",
    inputs: { bytes: "u32" }, // (B, C, H, W) bytes, four to a word
    outputs: { y: "vec4f" }, // (B, C, H, W)
    constants: { HW: "u32" },
    params: { words: "u32" },
    workgroup: WG,
    code: /* wgsl */ `
    let word = group * WG + li;
    if (word >= p.words) { return; }
    var means = ${list(mean)};
    var stds = ${list(std)};
    let c = ((4u * word + vec4u(0u, 1u, 2u, 3u)) / HW) % ${mean.length}u;
    let v = vec4f((vec4u(bytes[word]) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(0xffu)) / 255.0;
    y[word] = (v - vec4f(means[c.x], means[c.y], means[c.z], means[c.w])) / vec4f(stds[c.x], stds[c.y], stds[c.z], stds[c.w]);`,
  }),
);

/** images: (B, C, H, W) u8, a multiple of 4 bytes. mean and std per channel, of values in [0, 1]. Returns (B, C, H, W) f32. */
export function normalizeImages(
  images: Tensor,
  { mean, std }: { readonly mean: readonly number[]; readonly std: readonly number[] },
): Tensor {
  const [, C, H, W] = images.shape;
  if (images.shape.length !== 4 || images.dtype !== "u8")
    throw new Error(`normalizeImages: expected u8 images [B,C,H,W], got ${images.dtype} ${show(images.shape)}`);
  if (mean.length !== C || std.length !== C || !mean.every(Number.isFinite) || !std.every((s) => s > 0)) {
    throw new Error(
      `normalizeImages: expected ${C} means and ${C} positive deviations for images ${show(images.shape)}, got ${show(mean)} and ${show(std)}`,
    );
  }
  if (images.size % 4 !== 0)
    throw new Error(`normalizeImages: expected a multiple of 4 bytes, got ${images.size} in ${show(images.shape)}`);
  const words = images.size / 4;
  return kernel({ mean: [...mean], std: [...std] })({
    inputs: { bytes: images },
    outputs: { y: images.shape },
    constants: { HW: H! * W! },
    params: { words },
    threads: words,
  }).y;
}

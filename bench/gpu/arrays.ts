/** Large arrays that never leave the GPU: filled, copied and compared there. */
import { defineKernel } from "../../engine/kernel.ts";
import { numel, type Shape } from "../../engine/shape.ts";
import type { Tensor } from "../../engine/tensor.ts";

const WG = 256;
const PARTS = 1024;

// Values in [-1, 1) by a hash of index and seed; one thread per value.
const fillKernel = defineKernel({
  name: "bench.fill",
  outputs: { y: "f32" },
  params: { n: "u32", seed: "u32", low: "f32", high: "f32" },
  workgroup: WG,
  code: /* wgsl */ `
    let i = group * WG + li;
    if (i < p.n) {
      var h = i * 0x9e3779b9u + p.seed * 0x85ebca6bu;
      h = (h ^ (h >> 16u)) * 0x21f0aaadu;
      h = (h ^ (h >> 15u)) * 0x735a2d97u;
      y[i] = mix(p.low, p.high, f32((h ^ (h >> 15u)) >> 8u) * 5.9604644775390625e-8);
    }`,
});

/** Values in [low, high), the same for the same seed. */
export const filled = (shape: Shape, seed: number, low = -1, high = 1): Tensor =>
  fillKernel({ outputs: { y: shape }, params: { n: numel(shape), seed, low, high }, threads: numel(shape) }).y;

// Per thread: the largest difference, the largest |b|, and the number of values that are not finite.
const differenceKernel = defineKernel({
  name: "bench.difference",
  inputs: { a: "f32", b: "f32" },
  outputs: { parts: "f32" },
  params: { n: "u32", threads: "u32" },
  workgroup: WG,
  code: /* wgsl */ `
    let t = group * WG + li;
    var off = 0.0; var most = 0.0; var broken = 0.0;
    for (var i = t; i < p.n; i += p.threads) {
      off = max(off, abs(a[i] - b[i]));
      most = max(most, abs(b[i]));
      broken += select(0.0, 1.0, (bitcast<u32>(a[i]) & 0x7f800000u) == 0x7f800000u);
    }
    parts[3u * t] = off; parts[3u * t + 1u] = most; parts[3u * t + 2u] = broken;`,
});

/** How far two arrays are apart, relative to the second's largest value; infinite where the first has values that are not finite. */
export async function difference(a: Tensor, b: Tensor): Promise<number> {
  const groups = Math.min(PARTS, Math.ceil(a.size / WG));
  const { parts } = differenceKernel({
    inputs: { a: a.view([a.size]), b: b.view([b.size]) },
    outputs: { parts: [groups * WG, 3] },
    params: { n: a.size, threads: groups * WG },
    groups,
  });
  const values = await parts.floats();
  parts.dispose();
  let off = 0,
    most = 0,
    broken = 0;
  for (let i = 0; i < values.length; i += 3) {
    off = Math.max(off, values[i]!);
    most = Math.max(most, values[i + 1]!);
    broken += values[i + 2]!;
  }
  return broken > 0 || Number.isNaN(off) ? Infinity : most > 0 ? off / most : off;
}

const copyIntoKernel = defineKernel({
  name: "bench.copyInto",
  inputs: { x: "f32" },
  updates: { y: "f32" },
  params: { n: "u32" },
  workgroup: WG,
  code: "let i = group * WG + li; if (i < p.n) { y[i] = x[i]; }",
});
/** Writes x over y, which has as many values. */
export const copyInto = (x: Tensor, y: Tensor): void =>
  void copyIntoKernel({ inputs: { x }, updates: { y }, params: { n: x.size }, threads: x.size });

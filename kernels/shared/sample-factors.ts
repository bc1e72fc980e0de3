/** Multiplies each sample of a batch by its factor: stochastic depth at the end of a branch, and its gradient. */
import { defineKernel, kernelFamily } from "../../engine/kernel.ts";
import { show, type Shape } from "../../engine/shape.ts";
import type { Tensor } from "../../engine/tensor.ts";
import { wideWorkgroup } from "./wide-workgroup.ts";
import { typeOf, widthFor, type Width } from "./width.ts";

/** One factor per sample: element `at` of `tensor` is the first sample's. */
export interface SampleFactors {
  readonly tensor: Tensor;
  readonly at: number;
}

const PER = 4; // vectors per thread: a sample's factor is read once for all of them

// A workgroup takes WG * PER vectors of one sample.
const scaleKernel = kernelFamily(({ W, WG }: { W: Width; WG: number }) => {
  const T = typeOf(W);
  return defineKernel({
    name: "dropPath.scale",
    inputs: { x: T, factors: "f32" }, // (B, ...), (any)
    outputs: { y: T }, // (B, ...)
    params: { at: "u32", len: "u32", chunks: "u32" },
    workgroup: WG,
    code: /* wgsl */ `
    let sample = group / p.chunks;
    let first = group % p.chunks * ${WG * PER}u + li;
    let factor = factors[p.at + sample];
    for (var k = 0u; k < ${PER}u; k++) {
      let i = first + k * ${WG}u;
      if (i < p.len) { y[sample * p.len + i] = x[sample * p.len + i] * factor; }
    }`,
  });
});

/** x: (B, ...). Returns x with each sample times its factor. Not differentiable by itself. */
export function scaleSamples(x: Tensor, { tensor, at }: SampleFactors): Tensor {
  const B = x.shape[0]!;
  const W = widthFor(x.size / B);
  const len = x.size / B / W;
  const WG = wideWorkgroup();
  const chunks = Math.ceil(len / (WG * PER));
  return scaleKernel({ W, WG })({ inputs: { x, factors: tensor }, outputs: { y: x }, params: { at, len, chunks }, groups: B * chunks }).y;
}

/** A product's first operand whose stored rows are to be multiplied by factors, so many `rows` a sample. */
export interface Sampled {
  readonly factors: SampleFactors;
  readonly rows: number;
  /** The operand multiplied already, made once: for kernels that do not multiply what they load. */
  readonly scaled: () => Tensor;
}

/** x: (B, ...), as rows of which each sample has `rows`. */
export function sampled(x: Tensor, factors: SampleFactors, rows: number): Sampled {
  let made: Tensor | null = null;
  return { factors, rows, scaled: () => (made ??= scaleSamples(x, factors)) };
}

/** Throws unless `factors` holds one factor per sample of a result of this shape. */
export function checkFactors(name: string, { tensor, at }: SampleFactors, shape: Shape): void {
  if (shape.length < 2 || at + shape[0]! > tensor.size)
    throw new Error(`${name}: expected factors from element ${at} on for a result ${show(shape)}, got ${show(tensor.shape)}`);
}

/**
 * Adam's bias corrections by the number of updates made: an update skipped because of gradients that are not finite does not count, as a
 * `torch.amp.GradScaler` does not call `optimizer.step` for it.
 *
 *   finite:      n <- t - skipped;  bias1 <- 1 - beta1^n;  bias2 <- 1 - beta2^n
 *   not finite:  skipped <- skipped + 1
 *
 * Runs on the GPU, since the CPU learns too late which updates are skipped. 1 - beta^n = -expm1(n log beta) by its Taylor series near 0,
 * where the difference would lose digits. Kingma and Ba 2015, https://arxiv.org/abs/1412.6980. An update rule: no backward.
 */
import { defineKernel } from "../../engine/kernel.ts";
import type { Scalar } from "../shared/scalars.ts";
import type { Tensor } from "../../engine/tensor.ts";

/** Logarithm of a beta of 0: its power is 0 from the first update on. */
const LOG_ZERO = -1e4;

// One thread in all.
const kernel = defineKernel({
  name: "biasCorrection",
  inputs: { norm: "f32" }, // (3)
  updates: { scalars: "u32", skipped: "f32" }, // (any), (1)
  constants: { UPDATE: "u32", BIAS1: "u32", BIAS2: "u32" },
  params: { log1: "f32", log2: "f32" },
  workgroup: 1,
  helpers: /* wgsl */ `
fn minus_expm1(x: f32) -> f32 {
  if (x < -0.5) { return 1.0 - exp(x); }
  // The terms up to x^8 / 8!, the smallest first.
  var sum = 0.0;
  for (var k = 8.0; k > 1.5; k -= 1.0) { sum = (sum + 1.0) * x / k; }
  return -x * (1.0 + sum);
}`,
  code: /* wgsl */ `
    if (norm[1] == 0.0) { skipped[0] += 1.0; return; }
    let n = f32(scalars[UPDATE]) - skipped[0];
    scalars[BIAS1] = bitcast<u32>(minus_expm1(n * p.log1));
    scalars[BIAS2] = bitcast<u32>(minus_expm1(n * p.log2));`,
});

export interface BiasCorrectionOptions {
  /** u32: which update it is, 1 for the first, skipped ones counted. */
  readonly update: Scalar;
  /** f32, in the tensor of `update`: where the corrections go. */
  readonly bias1: Scalar;
  readonly bias2: Scalar;
  readonly beta1: number;
  readonly beta2: number;
}

/** skipped: f32 (1), exact up to 2^24 updates; finite: `gradNorm`'s result. Changes `skipped` and the two scalars. */
export function correctBias({ skipped, finite }: Readonly<Record<"skipped" | "finite", Tensor>>, o: BiasCorrectionOptions): void {
  const { update, bias1, bias2, beta1, beta2 } = o;
  if (bias1.tensor !== update.tensor || bias2.tensor !== update.tensor)
    throw new Error("biasCorrection: expected update, bias1 and bias2 in one tensor, got several");
  const log = (beta: number): number => Math.max(LOG_ZERO, Math.log(beta));
  kernel({
    inputs: { norm: finite },
    updates: { scalars: update.tensor, skipped },
    constants: { UPDATE: update.at, BIAS1: bias1.at, BIAS2: bias2.at },
    params: { log1: log(beta1), log2: log(beta2) },
    groups: 1,
  });
}

/**
 * Dynamic loss scaling, decided on the GPU: the loss is multiplied by a power of two before its gradients are taken, so that small ones
 * survive in f16; `gradNorm` and the update rules divide by it what they load.
 *
 *   not finite: scale <- scale / 2, good <- 0      finite: good <- good + 1, and after `every` of them scale <- 2 scale, good <- 0
 *
 * Micikevicius et al. 2017, section 3.2, https://arxiv.org/abs/1710.03740, with the constants of PyTorch's GradScaler,
 * https://docs.pytorch.org/docs/stable/amp.html. An update rule: no backward.
 */
import { defineKernel } from "../../engine/kernel.ts";
import { Tensor } from "../../engine/tensor.ts";

/** Powers of two at both ends; halving and doubling stays exact between them. */
const MIN_SCALE = 2 ** -24;
const MAX_SCALE = 2 ** 24;

export interface LossScale {
  /** []: what the loss is multiplied by. Read as the upstream gradient of the loss. */
  readonly scale: Tensor;
  /** []: updates with finite gradients since it last changed. */
  readonly good: Tensor;
}

export function makeLossScale(initial: number): LossScale {
  if (!(initial >= MIN_SCALE && initial <= MAX_SCALE && Number.isInteger(Math.log2(initial))))
    throw new Error(`lossScale: expected a power of two from ${MIN_SCALE} to ${MAX_SCALE}, got ${initial}`);
  return { scale: Tensor.from([initial], []), good: Tensor.zeros([]) };
}

// One thread in all.
const updateKernel = defineKernel({
  name: "lossScale.update",
  inputs: { norm: "f32" }, // (3)
  updates: { scale: "f32", good: "f32" }, // () each
  params: { every: "f32" },
  workgroup: 1,
  code: /* wgsl */ `
    let finite = norm[1] != 0.0;
    let count = select(0.0, good[0] + 1.0, finite);
    let grows = count >= p.every;
    scale[0] = clamp(scale[0] * select(select(1.0, 2.0, grows), 0.5, !finite), ${MIN_SCALE}, ${MAX_SCALE}.0);
    good[0] = select(count, 0.0, grows);`,
});

/** norm: `gradNorm`'s result. Doubles after `every` updates in a row with finite gradients. */
export function updateLossScale({ scale, good }: LossScale, norm: Tensor, every: number): void {
  updateKernel({ inputs: { norm }, updates: { scale, good }, params: { every }, groups: 1 });
}

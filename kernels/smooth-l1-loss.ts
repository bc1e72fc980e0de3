/**
 * Smooth L1 distance, mean over all elements: square near 0, straight further off, so that no outlier rules the mean.
 *
 *   L = 1/n sum of  0.5 d^2 / beta where |d| < beta, |d| - 0.5 beta elsewhere,   d = x - target
 *   dx = clamp(d / beta, -1, 1) * dy / n
 *
 * No gradient flows to the target. As PyTorch's `smooth_l1_loss`. Girshick 2015, https://arxiv.org/abs/1504.08083
 */
import { defineOp } from "../engine/autograd.ts";
import { defineKernel } from "../engine/kernel.ts";
import { sameShape, show } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";
import { sumTo } from "./shared/reduce.ts";

const WG = 256;
/** Elements that one thread adds up. */
const SHARE = 16;

// One thread per SHARE elements.
const forwardKernel = defineKernel({
  name: "smoothL1Loss.forward",
  inputs: { x: "f32", truth: "f32" }, // (n) each
  outputs: { losses: "f32" }, // (n / SHARE): parts of the mean
  constants: { SHARE: "u32" },
  params: { n: "u32", beta: "f32", each: "f32" },
  workgroup: { upTo: WG },
  code: /* wgsl */ `
    let t = group * WG + li;
    if (t * SHARE >= p.n) { return; }
    var sum = 0.0;
    for (var i = t * SHARE; i < min(t * SHARE + SHARE, p.n); i++) {
      let d = abs(x[i] - truth[i]);
      sum += select(d - 0.5 * p.beta, 0.5 * d * d / p.beta, d < p.beta);
    }
    losses[t] = sum * p.each;`,
});

// One thread per element.
const backwardKernel = defineKernel({
  name: "smoothL1Loss.backward",
  inputs: { x: "f32", truth: "f32", dy: "f32" }, // (n) each, ()
  outputs: { dx: "f32" }, // (n)
  params: { n: "u32", beta: "f32", each: "f32" },
  workgroup: { upTo: WG },
  code: /* wgsl */ `
    let i = group * WG + li;
    if (i < p.n) { dx[i] = clamp((x[i] - truth[i]) / p.beta, -1.0, 1.0) * p.each * dy[0]; }`,
});

const op = defineOp({
  name: "smoothL1Loss",
  forward([x, target]: [Tensor, Tensor], { beta }: { readonly beta: number }) {
    const params = { n: x.size, beta, each: 1 / x.size };
    const threads = Math.ceil(x.size / SHARE);
    const { losses } = forwardKernel({
      inputs: { x, truth: target },
      outputs: { losses: [threads] },
      ...{ params, threads, constants: { SHARE } },
    });
    return { y: sumTo(losses, []), saved: params };
  },
  backward: (dy, params, [x, target]) => [
    backwardKernel({ inputs: { x, truth: target, dy }, outputs: { dx: x }, params, threads: params.n }).dx,
    null,
  ],
});

/** x, target: of one shape. Returns (). Throws for unlike shapes, for a target with a gradient and for a beta of 0 or less. */
export function smoothL1Loss(x: Tensor, target: Tensor, { beta = 1 }: { readonly beta?: number } = {}): Tensor {
  if (!sameShape(x.shape, target.shape) || target.requiresGrad)
    throw new Error(
      `smoothL1Loss: expected x and target alike, the target without gradient, got ${show(x.shape)} and ${show(target.shape)}${target.requiresGrad ? " with" : ""}`,
    );
  if (!(beta > 0 && Number.isFinite(beta))) throw new Error(`smoothL1Loss: expected beta above 0, got ${beta}`);
  return op([x, target], { beta });
}

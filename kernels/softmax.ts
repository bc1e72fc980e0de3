/**
 * Softmax and its logarithm over the last axis.
 *
 *   softmax:     y = exp(x - max) / sum exp(x - max)       dx = y * (dy - sum(dy * y))
 *   logSoftmax:  y = x - max - log sum exp(x - max)        dx = dy - exp(y) * sum(dy)
 *
 * The WGSL is in rows/softmax.ts. The row's maximum keeps exp in range: Bridle 1990, "Probabilistic interpretation of feedforward
 * classification network outputs", https://doi.org/10.1007/978-3-642-76153-9_28; Goodfellow et al. 2016, section 4.1,
 * https://www.deeplearningbook.org
 */
import { defineOp } from "../engine/autograd.ts";
import { show } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";
import { rowVariant, type RowOptions, type RowVariant } from "./rows/variants.ts";
import { softmaxKernels } from "./rows/softmax.ts";

const op = (name: string, log: boolean) =>
  defineOp({
    name,
    forward([x]: [Tensor], { variant }: { variant: RowVariant }) {
      if (x.shape.length === 0) throw new Error(`${name}: expected at least one axis, got ${show(x.shape)}`);
      const { forward, grid } = softmaxKernels(x, log, variant);
      const { y } = forward({ ...grid, inputs: { x }, outputs: { y: x } });
      return { y, saved: y };
    },
    backward(dy, y, [x], { variant }) {
      const { backward, grid } = softmaxKernels(x, log, variant);
      return [backward({ ...grid, inputs: { y, dy }, outputs: { dx: x } }).dx];
    },
  });

const softmaxOp = op("softmax", false);
const logSoftmaxOp = op("logSoftmax", true);

/** x: (..., D). Returns (..., D), each row non-negative with sum 1. */
export const softmax = (x: Tensor, options: RowOptions = {}): Tensor =>
  softmaxOp([x], { variant: rowVariant("softmax", x, options.variant) });

/** x: (..., D). Returns (..., D), the logarithm of softmax(x). */
export const logSoftmax = (x: Tensor, options: RowOptions = {}): Tensor =>
  logSoftmaxOp([x], { variant: rowVariant("logSoftmax", x, options.variant) });

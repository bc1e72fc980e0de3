/**
 * Two fully connected layers with an activation (default GELU) between them, as one op: the hidden layer is no tensor of the tape.
 *
 *   y = f * s * v + residual,   v = act(u) W2^T + b2,   u = x W1^T + b1,   f a factor per sample, s one per column (1 each unless given)
 *
 * Backward, with g = f * s * dy: the activation's derivative is applied where the product is made, s where g is loaded, and the sums over
 * rows are made in the launches of weights':
 *
 *   du = (g W2) * act'(u),   dW2 = g^T act(u),   dW1 = du^T x,   dx = du W1,   db2, db1 = sums of g, du,   ds = sum of f * dy * v
 *
 * Dosovitskiy et al. 2020, equation 3, https://arxiv.org/abs/2010.11929
 */
import { defineOp } from "../engine/autograd.ts";
import { sameShape, show } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";
import type { FirstOperand } from "./gemm/describe.ts";
import { dense, denseInputGrad, denseWeightGrad } from "./gemm/dense.ts";
import type { GemmVariant } from "./gemm/tiles.ts";
import { checkActivation, type Activation } from "./shared/activations.ts";
import { checkFactors, sampled, type SampleFactors } from "./shared/sample-factors.ts";

export interface MlpOptions {
  /** Between the layers. Default: "gelu". */
  readonly activation?: Activation;
  /** Added last; has y's shape. */
  readonly residual?: Tensor | undefined;
  /** [O]: LayerScale of this branch (linear.ts). */
  readonly scale?: Tensor | undefined;
  /** Stochastic depth of this branch. */
  readonly factors?: SampleFactors | undefined;
  /** Kind of kernel. Default: chosen for the adapter. */
  readonly variant?: GemmVariant | undefined;
}

type Attrs = { readonly activation: Activation; readonly factors: SampleFactors | undefined; readonly variant: GemmVariant | undefined };

const op = defineOp({
  name: "mlp",

  forward(
    [x, w1, b1, w2, b2, residual, scale]: [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor | null, Tensor | null],
    { activation, factors, variant }: Attrs,
    differentiable,
  ) {
    const I = x.shape.at(-1) ?? 0,
      H = w1.shape[0]!,
      O = w2.shape[0]!;
    if (!sameShape(w1.shape, [H, I]) || !sameShape(w2.shape, [O, H]))
      throw new Error(`mlp: expected weights [H,${I}] and [O,H] for x ${show(x.shape)}, got ${show(w1.shape)} and ${show(w2.shape)}`);
    if (!sameShape(b1.shape, [H]) || !sameShape(b2.shape, [O]))
      throw new Error(`mlp: expected biases [${H}] and [${O}], got ${show(b1.shape)} and ${show(b2.shape)}`);
    const rows = x.size / I;
    const shape = [...x.shape.slice(0, -1), O];
    if (residual && !sameShape(residual.shape, shape))
      throw new Error(`mlp: expected a residual ${show(shape)}, got ${show(residual.shape)}`);
    if (scale && !sameShape(scale.shape, [O])) throw new Error(`mlp: expected a scale [${O}], got ${show(scale.shape)}`);
    if (factors) checkFactors("mlp", factors, shape);
    checkActivation("mlp", activation);
    const { y: hidden, preActivation: u } = dense({ tensor: x }, w1, rows, {
      shape: [rows, H],
      bias: b1,
      activation,
      preActivation: differentiable && activation !== "none",
      variant,
    });
    const { y, preActivation: v } = dense({ tensor: hidden }, w2, rows, {
      shape,
      bias: b2,
      preActivation: differentiable && scale?.requiresGrad === true,
      scale: scale ?? undefined,
      residual: residual ?? undefined,
      variant,
      factors: factors && { ...factors, rows: rows / shape[0]! },
    });
    return { y, saved: { hidden, u, v, rows, H } };
  },

  backward(dy, { hidden, u, v, rows, H }, [x, w1, , w2, , , given], { activation, factors, variant }, needs) {
    const scale = given ?? undefined;
    const g = { tensor: dy, samples: factors && sampled(dy, factors, rows / dy.shape[0]!) };
    const weightGrad = (a: FirstOperand, input: Tensor, weight: Tensor, dots?: Tensor) =>
      denseWeightGrad(a, { tensor: input }, weight, rows, { sums: true, dots, variant });
    const second = needs[3] || needs[4] || needs[6] ? weightGrad({ ...g, scale }, hidden, w2, v ?? undefined) : null;
    const { y: du } = denseInputGrad({ ...g, scale }, w2, rows, {
      shape: [rows, H],
      gradOf: u ? { activation, at: u } : undefined,
      variant,
    });
    const first = needs[1] || needs[2] ? weightGrad({ tensor: du }, x, w1) : null;
    const dx = needs[0] ? denseInputGrad({ tensor: du }, w1, rows, { shape: x.shape, variant }).y : null;
    return [dx, first?.y ?? null, first?.sums ?? null, second?.y ?? null, second?.sums ?? null, dy, second?.dots ?? null];
  },
});

/**
 * x: [.., I], w1: [H, I], b1: [H], w2: [O, H], b2: [O], scale: [O], residual: [.., O].
 * Returns factors * scale * (act(x w1^T + b1) w2^T + b2) + residual: [.., O].
 */
export const mlp = (
  x: Tensor,
  w1: Tensor,
  b1: Tensor,
  w2: Tensor,
  b2: Tensor,
  { activation = "gelu", residual, scale, factors, variant }: MlpOptions = {},
): Tensor => op([x, w1, b1, w2, b2, residual ?? null, scale ?? null], { activation, factors, variant });

/**
 * A fully connected layer with fused activation, sample factors and residual.
 *
 *   y = f * s * act(u) + residual,   u = x W^T + bias,   act an activation or the identity, f a factor per sample, s one per column (1 each unless given)
 *
 * Backward, with du = f * dy * act'(u), or f * s * dy, which is never written down: its products scale what they load:
 *
 *   dx = du W,   dW = du^T x,   dbias = sum over rows of du,   ds = sum over rows of f * dy * u (both in the launch of dW),   dresidual = dy
 *
 * Activations and their sources: shared/activations.ts. The scale per column is LayerScale: Touvron et al. 2021, "Going deeper with image
 * transformers", https://arxiv.org/abs/2103.17239
 */
import { defineOp } from "../engine/autograd.ts";
import { sameShape, show } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";
import { checkActivation, type Activation } from "./shared/activations.ts";
import { activationBackwardSums, columnSums } from "./shared/column-sums.ts";
import { dense, denseInputGrad, denseWeightGrad } from "./gemm/dense.ts";
import type { GemmVariant } from "./gemm/tiles.ts";
import { checkFactors, sampled, type SampleFactors } from "./shared/sample-factors.ts";

export interface LinearOptions {
  /** Applied to x W^T + bias. Default: "none". */
  readonly activation?: Activation;
  /** Added last; has y's shape. */
  readonly residual?: Tensor | undefined;
  /** [O]: LayerScale of this branch. Not beside an activation. */
  readonly scale?: Tensor | undefined;
  /** Stochastic depth of this branch. */
  readonly factors?: SampleFactors | undefined;
  /** Kind of kernel. Default: chosen for the adapter. */
  readonly variant?: GemmVariant | undefined;
}

interface Attrs {
  readonly activation: Activation;
  readonly factors: SampleFactors | undefined;
  readonly variant: GemmVariant | undefined;
}

const op = defineOp({
  name: "linear",

  forward(
    [x, weight, bias, residual, scale]: [Tensor, Tensor, Tensor | null, Tensor | null, Tensor | null],
    { activation, factors, variant }: Attrs,
    differentiable,
  ) {
    const I = x.shape.at(-1),
      O = weight.shape[0]!;
    if (I === undefined || weight.shape.length !== 2 || weight.shape[1] !== I) {
      throw new Error(`linear: expected x [..,I] and weight [O,I], got ${show(x.shape)} and ${show(weight.shape)}`);
    }
    if (bias && !sameShape(bias.shape, [O]))
      throw new Error(`linear: expected bias [${O}] for weight ${show(weight.shape)}, got ${show(bias.shape)}`);
    const shape = [...x.shape.slice(0, -1), O];
    if (residual && !sameShape(residual.shape, shape))
      throw new Error(`linear: expected a residual ${show(shape)}, got ${show(residual.shape)}`);
    checkActivation("linear", activation);
    if (scale && (activation !== "none" || !sameShape(scale.shape, [O])))
      throw new Error(`linear: expected a scale [${O}] and no activation, got ${show(scale.shape)} and activation "${activation}"`);
    if (factors) checkFactors("linear", factors, shape);
    // Only the backward of x, weight and bias reads u.
    const keepsU =
      differentiable && (activation !== "none" ? [x, weight, bias].some((t) => t?.requiresGrad) : scale?.requiresGrad === true);
    const rows = x.size / I;
    const { y, preActivation: u } = dense({ tensor: x }, weight, rows, {
      shape,
      bias: bias ?? undefined,
      activation,
      preActivation: keepsU,
      scale: scale ?? undefined,
      residual: residual ?? undefined,
      variant,
      factors: factors && { ...factors, rows: rows / shape[0]! },
    });
    return { y, saved: { u, rows, O } };
  },

  backward(dy, { u, rows, O }, [x, weight, bias, residual, scale], { activation, factors, variant }, needs) {
    const wanted = needs[0] || needs[1] || needs[2] || needs[4];
    const activated = u && wanted && activation !== "none";
    const samples = factors && sampled(dy, factors, rows / dy.shape[0]!);
    const { du, sums } = activated ? activationBackwardSums(activation, samples?.scaled() ?? dy, u, O) : { du: dy, sums: null };
    const a = { tensor: du, samples: activated ? undefined : samples };
    const biasToo = bias !== null && needs[2] === true;
    const scaled = scale ?? undefined;
    const dW =
      needs[1] || (scale && (biasToo || needs[4]))
        ? denseWeightGrad({ ...a, scale: scaled }, { tensor: x }, weight, rows, {
            sums: biasToo && !sums,
            dots: needs[4] ? u! : undefined,
            variant,
          })
        : null;
    return [
      needs[0] ? denseInputGrad({ ...a, scale: scaled }, weight, rows, { shape: x.shape, variant }).y : null,
      needs[1] ? (dW?.y ?? null) : null,
      biasToo ? (sums ?? dW?.sums ?? columnSums(a.samples?.scaled() ?? du, O)) : null,
      residual && needs[3] ? dy : null,
      dW?.dots ?? null,
    ];
  },
});

/**
 * x: [.., I], weight: [O, I], bias: [O], scale: [O], residual: [.., O].
 * Returns factors * scale * act(x weight^T + bias) + residual: [.., O].
 */
export const linear = (
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null = null,
  { activation = "none", residual, scale, factors, variant }: LinearOptions = {},
): Tensor => op([x, weight, bias, residual ?? null, scale ?? null], { activation, factors, variant });

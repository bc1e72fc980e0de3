/**
 * Two fully connected layers with an activation (default GELU) between them, as one op: the hidden layer is no tensor of the tape.
 *
 *   y = f * (act(u) W2^T + b2) + residual,   u = x W1^T + b1,   f a factor per sample (default 1)
 *
 * Backward, with g = f * dy: the activation's derivative is applied where the product is made, biases' sums are made in the launches of
 * weights':
 *
 *   du = (g W2) * act'(u),   dW2 = g^T act(u),   dW1 = du^T x,   dx = du W1,   db2, db1 = sums over rows of g, du
 *
 * Dosovitskiy et al. 2020, equation 3, https://arxiv.org/abs/2010.11929
 */
import { defineOp } from "../engine/autograd.ts";
import { sameShape, show } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";
import { gemm } from "./gemm/gemm.ts";
import type { GemmVariant } from "./gemm/tiles.ts";
import { checkActivation, type Activation } from "./shared/activations.ts";
import { checkFactors, scaleSamples, type SampleFactors } from "./shared/sample-factors.ts";

export interface MlpOptions {
  /** Between the layers. Default: "gelu". */
  readonly activation?: Activation;
  /** Added last; has y's shape. */
  readonly residual?: Tensor | undefined;
  /** Stochastic depth of this branch. */
  readonly factors?: SampleFactors | undefined;
  /** Kind of kernel. Default: chosen for the adapter. */
  readonly variant?: GemmVariant | undefined;
}

type Attrs = { readonly activation: Activation; readonly factors: SampleFactors | undefined; readonly variant: GemmVariant | undefined };

const op = defineOp({
  name: "mlp",

  forward(
    [x, w1, b1, w2, b2, residual]: [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor | null],
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
    if (factors) checkFactors("mlp", factors, shape);
    checkActivation("mlp", activation);
    const { y: hidden, preActivation: u } = gemm({
      a: { tensor: x },
      b: { tensor: w1, transposed: true },
      M: rows,
      N: H,
      K: I,
      shape: [rows, H],
      bias: b1,
      activation,
      preActivation: differentiable && activation !== "none",
      variant,
    });
    const { y } = gemm({
      a: { tensor: hidden },
      b: { tensor: w2, transposed: true },
      M: rows,
      N: O,
      K: H,
      shape,
      bias: b2,
      residual: residual ?? undefined,
      variant,
      factors: factors && { ...factors, rows: rows / shape[0]! },
    });
    return { y, saved: { hidden, u, rows, I, H, O } };
  },

  backward(dy, { hidden, u, rows, I, H, O }, [x, w1, , w2], { activation, factors, variant }, needs) {
    const g = factors ? scaleSamples(dy, factors) : dy;
    const weightGrad = (d: Tensor, input: Tensor, M: number, N: number) =>
      gemm({ a: { tensor: d, transposed: true }, b: { tensor: input }, M, N, K: rows, shape: [M, N], store: "f32", sums: true, variant });
    const second = needs[3] || needs[4] ? weightGrad(g, hidden, O, H) : null;
    const { y: du } = gemm({
      a: { tensor: g },
      b: { tensor: w2 },
      M: rows,
      N: H,
      K: O,
      shape: [rows, H],
      gradOf: u ? { activation, at: u } : undefined,
      variant,
    });
    const first = needs[1] || needs[2] ? weightGrad(du, x, H, I) : null;
    const dx = needs[0] ? gemm({ a: { tensor: du }, b: { tensor: w1 }, M: rows, N: I, K: H, shape: x.shape, variant }).y : null;
    return [dx, first?.y ?? null, first?.sums ?? null, second?.y ?? null, second?.sums ?? null, dy];
  },
});

/**
 * x: [.., I], w1: [H, I], b1: [H], w2: [O, H], b2: [O], residual: [.., O]. Returns factors * (act(x w1^T + b1) w2^T + b2) + residual:
 * [.., O].
 */
export const mlp = (
  x: Tensor,
  w1: Tensor,
  b1: Tensor,
  w2: Tensor,
  b2: Tensor,
  { activation = "gelu", residual, factors, variant }: MlpOptions = {},
): Tensor => op([x, w1, b1, w2, b2, residual ?? null], { activation, factors, variant });

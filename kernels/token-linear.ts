/**
 * A fully connected layer on one token of each sequence, as a classifier's head reads it: no copy of the token is made.
 *
 *   y[b] = x[b,token] W^T + bias
 *
 * Backward: dx is dy W at the token and 0 at the others, plus the gradient that x already has, in one launch;
 * dW = sum over b of dy[b]^T x[b,token], with the sums of dy beside it for the bias.
 *
 * Dosovitskiy et al. 2021, section 3.1, https://arxiv.org/abs/2010.11929
 */
import { defineOp } from "../engine/autograd.ts";
import { sameShape, show } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";
import { dense, denseInputGrad, denseWeightGrad } from "./gemm/dense.ts";
import { gemm } from "./gemm/gemm.ts";

const op = defineOp({
  name: "tokenLinear",
  partialOf: 0,

  forward([x, weight, bias]: [Tensor, Tensor, Tensor], token: number) {
    const [B, N, D] = x.shape as [number, number, number],
      O = weight.shape[0]!;
    if (x.shape.length !== 3 || !sameShape(weight.shape, [O, D]))
      throw new Error(`tokenLinear: expected x [B,N,I] and weight [O,I], got ${show(x.shape)} and ${show(weight.shape)}`);
    if (!sameShape(bias.shape, [O]))
      throw new Error(`tokenLinear: expected bias [${O}] for weight ${show(weight.shape)}, got ${show(bias.shape)}`);
    if (!(Number.isInteger(token) && token >= 0 && token < N))
      throw new Error(`tokenLinear: expected a token from 0 to ${N - 1} of x ${show(x.shape)}, got ${token}`);
    const rows = { tensor: x, ld: N * D, offset: token * D };
    const { y } = dense(rows, weight, B, { shape: [B, O], bias });
    return { y, saved: { rows, B, N, D, O } };
  },

  backward(dy, { rows, B, N, D, O }, [x, weight], token, needs, partial) {
    // The only token's gradient is a plain product; of several, every token's row is made, zeros at the others.
    const dx = () =>
      N === 1 ? denseInputGrad({ tensor: dy }, weight, B, { shape: x.shape, residual: partial ?? undefined }).y : dxOfSeveral();
    const dxOfSeveral = () =>
      gemm({
        a: { tensor: dy },
        b: { tensor: weight, map: { row: `i * ${D}u`, col: `i % ${D}u` } },
        M: B,
        N: N * D,
        K: O,
        shape: x.shape,
        custom: {
          code: `v = select(0.0, v, n / ${D}u == ${token}u)${partial ? " + partial[cell]" : ""};`,
          inputs: partial ? { partial } : {},
        },
      }).y;
    const dW = needs[1] || needs[2] ? denseWeightGrad({ tensor: dy }, rows, weight, B, { sums: needs[2] === true }) : null;
    return [needs[0] ? dx() : null, dW?.y ?? null, dW?.sums ?? null];
  },
});

/** x: [B, N, I], weight: [O, I], bias: [O]. Returns x[:, token] weight^T + bias: [B, O]. */
export const tokenLinear = (x: Tensor, token: number, weight: Tensor, bias: Tensor): Tensor => op([x, weight, bias], token);

/**
 * The three products of a fully connected layer, y = x W^T, with so many rows of x and y. weight: (O, I), or (O, ..) of I elements each.
 * Everything else that a product may do is in `rest`.
 */
import type { Tensor } from "../../engine/tensor.ts";
import type { FirstOperand, Gemm, Operand } from "./describe.ts";
import { gemm, type Product } from "./gemm.ts";

type Rest = Omit<Gemm, "a" | "b" | "M" | "N" | "K">;

const sides = ({ shape, size }: Tensor) => ({ O: shape[0]!, I: size / shape[0]! });

/** y: (rows, O). */
export function dense(x: FirstOperand, weight: Tensor, rows: number, rest: Rest): Product {
  const { O, I } = sides(weight);
  return gemm({ a: x, b: { tensor: weight, transposed: true }, M: rows, N: O, K: I, ...rest });
}

/** dx = dy W: (rows, I). */
export function denseInputGrad(dy: FirstOperand, weight: Tensor, rows: number, rest: Rest): Product {
  const { O, I } = sides(weight);
  return gemm({ a: dy, b: { tensor: weight }, M: rows, N: I, K: O, ...rest });
}

/** dW = dy^T x, in f32, shaped like the weight. */
export function denseWeightGrad(dy: FirstOperand, x: Operand, weight: Tensor, rows: number, rest: Omit<Rest, "shape">): Product {
  const { O, I } = sides(weight);
  return gemm({ a: { ...dy, transposed: true }, b: x, M: O, N: I, K: rows, shape: weight.shape, store: "f32", ...rest });
}

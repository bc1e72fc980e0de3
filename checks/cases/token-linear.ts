import { gradients } from "../../engine/autograd.ts";
import { scope } from "../../engine/memory.ts";
import { readAll, Tensor } from "../../engine/tensor.ts";
import { add } from "../../kernels/elementwise.ts";
import { reshape, slice } from "../../kernels/movement.ts";
import { linear } from "../../kernels/linear.ts";
import { tokenLinear } from "../../kernels/token-linear.ts";
import { checkOp, close, refuses, uniform, type Case } from "../check.ts";
import { linearReference } from "../reference/matmul.ts";

/** The reference of a plain layer, on one token of each sequence. */
const reference =
  ({ B, N, I, O, token }: { B: number; N: number; I: number; O: number; token: number }) =>
  (x: Float64Array, ...rest: Float64Array[]): Float64Array => {
    const picked = Float64Array.from({ length: B * I }, (_, i) => x[(Math.floor(i / I) * N + token) * I + (i % I)]!);
    return linearReference({ rows: B, I, O })(picked, rest[0]!, rest[1]!);
  };

const shapes = [
  { why: "the only token", B: 3, N: 1, I: 8, O: 5, token: 0 },
  { why: "primes, in the middle", B: 7, N: 3, I: 13, O: 11, token: 1 },
  { why: "a head's sizes, its sum split", B: 2, N: 2, I: 576, O: 70, token: 1 },
];

/** Two heads on two tokens: the same numbers as of layers on copies of the tokens, gradients that meet included. */
async function twoHeads(): Promise<void> {
  const [B, I, O] = [5, 12, 9];
  const run = (fused: boolean) =>
    scope(() => {
      const given = [[B, 2, I], [O, I], [O], [O, I], [O]].map((shape, i) => {
        const t = Tensor.from(
          uniform(
            shape.reduce((a, b) => a * b, 1),
            i + 1,
          ),
          shape,
        );
        t.requiresGrad = true;
        return t;
      });
      const [x, w0, b0, w1, b1] = given as [Tensor, Tensor, Tensor, Tensor, Tensor];
      const head = (at: number, w: Tensor, b: Tensor) =>
        fused ? tokenLinear(x, at, w, b) : linear(reshape(slice(x, 1, at, at + 1), [B, I]), w, b);
      const y = add(head(0, w0, b0), head(1, w1, b1));
      return [y, ...gradients(y, given, Tensor.from(uniform(B * O, 9), [B, O]))];
    });
  const results = [run(true), run(false)];
  const [fused, plain] = [await readAll(results[0]!), await readAll(results[1]!)] as Float32Array[][];
  for (const t of results.flat()) t.dispose();
  fused!.forEach((values, k) => {
    if (values.length !== plain![k]!.length) throw new Error(`result ${k}: expected ${plain![k]!.length} values, got ${values.length}`);
    values.forEach((v, i) => close(`result ${k}[${i}]`, v, plain![k]![i]!, 1e-5));
  });
}

export const cases: Case[] = [
  ...shapes.map(({ why, ...size }) => ({
    name: `tokenLinear: ${why}`,
    run: () =>
      checkOp({
        inputs: [[size.B, size.N, size.I], [size.O, size.I], [size.O]],
        op: (x, w, b) => tokenLinear(x!, size.token, w!, b!),
        reference: reference(size),
        shape: [size.B, size.O],
      }),
  })),
  { name: "tokenLinear: two heads, their gradients meeting", run: twoHeads },
  {
    name: "tokenLinear: refuses a token that is not there",
    run: () =>
      refuses(
        () => tokenLinear(Tensor.zeros([2, 2, 4]), 2, Tensor.zeros([3, 4]), Tensor.zeros([3])),
        /tokenLinear: expected a token from 0 to 1 of x \[2,2,4\], got 2/,
      ),
  },
  {
    name: "tokenLinear: refuses a weight of another width",
    run: () =>
      refuses(
        () => tokenLinear(Tensor.zeros([2, 2, 4]), 0, Tensor.zeros([3, 5]), Tensor.zeros([3])),
        /tokenLinear: expected x \[B,N,I\] and weight \[O,I\], got \[2,2,4\] and \[3,5\]/,
      ),
  },
];

/** LayerScale in `linear` and `mlp`: a factor per column of a branch, with its gradient, by every kind of product. */
import { Tensor } from "../../engine/tensor.ts";
import { dropPathFactors } from "../../kernels/drop-path.ts";
import { linear } from "../../kernels/linear.ts";
import { mlp } from "../../kernels/mlp.ts";
import { checkOp, refuses, type Case } from "../check.ts";
import { needsOf } from "../gemm-variants.ts";
import { linearReference } from "../reference/matmul.ts";

/** Each kind of product in fours or not, and cut along K or not: pipelines take long to compile on a processor, so not all by all. */
const layers = [
  { why: "primes", variant: "register", lead: [2, 13], I: 17, O: 11 },
  { why: "more rows than a stripe of sums, dW split", variant: "register", lead: [2, 521], I: 12, O: 8 },
  { why: "no tile evenly, in fours", variant: "subgroup", lead: [3, 12], I: 36, O: 68 },
  { why: "more rows than a stripe of sums, dW split", variant: "subgroup", lead: [2, 521], I: 12, O: 7 },
  { why: "its sum split, and that of dx", variant: "shared", lead: [2], I: 520, O: 516 },
] as const;
const mlps = [
  { rows: 13, I: 5, H: 11, O: 7, variant: "register" },
  { rows: 521, I: 4, H: 8, O: 4, variant: "subgroup" },
  { rows: 6, I: 8, H: 516, O: 520, variant: "shared" },
] as const;

const rowsOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** Factors 0 and 1 / 0.6 of the samples. */
const branch = (B: number) => {
  const tensor = Tensor.from([7, 3], [2], "u32");
  return { tensor: dropPathFactors([0.4], B, { seed: { tensor, at: 0 }, step: { tensor, at: 1 } }), at: 0 };
};

export const cases: Case[] = [
  ...layers.map(({ why, variant, lead, I, O }) => ({
    name: `linear: a scale per column and a residual, ${why} (${variant})`,
    ...needsOf(variant),
    run: () =>
      checkOp({
        inputs: [[...lead, I], [O, I], [O], [...lead, O], [O]],
        op: (x, w, b, residual, scale) => linear(x!, w!, b!, { residual, scale, variant }),
        reference: (x, w, b, residual, scale) =>
          linearReference({ rows: rowsOf(lead), I, O })(x!, w!, b!).map((v, i) => v * scale![i % O]! + residual![i]!),
      }),
  })),
  ...mlps.map(({ rows, I, H, O, variant }) => ({
    name: `mlp: a scale per column and a residual, ${rows}x${I}x${H}x${O} (${variant})`,
    ...needsOf(variant),
    run: () =>
      checkOp({
        inputs: [[rows, I], [H, I], [H], [O, H], [O], [rows, O], [O]],
        op: (x, w1, b1, w2, b2, residual, scale) => mlp(x!, w1!, b1!, w2!, b2!, { residual, scale, variant }),
        reference: (x, w1, b1, w2, b2, residual, scale) =>
          linearReference({ rows, I: H, O })(linearReference({ rows, I, O: H, activation: "gelu" })(x!, w1!, b1), w2!, b2).map(
            (v, i) => v * scale![i % O]! + residual![i]!,
          ),
        ...(rows * H > 1000 ? { grads: [0, 3, 4, 6] } : {}), // the reference's GELU is slow
      }),
  })),
  ...[
    { why: "alone", grads: [3] },
    { why: "and the bias's", grads: [2, 3] },
    { why: "not wanted", grads: [0, 1, 2] },
  ].map(({ why, grads }) => ({
    name: `linear: a scale per column, its gradient ${why}`,
    run: () =>
      checkOp({
        inputs: [[9, 8], [12, 8], [12], [12]],
        op: (x, w, b, scale) => linear(x!, w!, b!, { scale }),
        reference: (x, w, b, scale) => linearReference({ rows: 9, I: 8, O: 12 })(x!, w!, b!).map((v, i) => v * scale![i % 12]!),
        grads,
      }),
  })),
  {
    name: "linear: a scale per column without a bias",
    run: () =>
      checkOp({
        inputs: [[9, 8], [12, 8], [12]],
        op: (x, w, scale) => linear(x!, w!, null, { scale }),
        reference: (x, w, scale) => linearReference({ rows: 9, I: 8, O: 12 })(x!, w!).map((v, i) => v * scale![i % 12]!),
      }),
  },
  {
    name: "linear, mlp: a scale per column of a branch that is left out for some samples",
    run: async () => {
      const B = 7;
      const factors = await branch(B).tensor.floats();
      const kept = (per: number) => (v: number, i: number) => v * factors[Math.floor(i / per)]!;
      await checkOp({
        inputs: [[B, 3, 4], [8, 4], [8], [8]],
        op: (x, w, b, scale) => linear(x!, w!, b!, { scale, factors: branch(B) }),
        reference: (x, w, b, scale) =>
          linearReference({ rows: 3 * B, I: 4, O: 8 })(x!, w!, b!)
            .map((v, i) => v * scale![i % 8]!)
            .map(kept(24)),
      });
      await checkOp({
        inputs: [[B, 2, 4], [8, 4], [8], [5, 8], [5], [5]],
        op: (x, w1, b1, w2, b2, scale) => mlp(x!, w1!, b1!, w2!, b2!, { scale, factors: branch(B) }),
        reference: (x, w1, b1, w2, b2, scale) =>
          linearReference({ rows: 2 * B, I: 8, O: 5 })(
            linearReference({ rows: 2 * B, I: 4, O: 8, activation: "gelu" })(x!, w1!, b1),
            w2!,
            b2,
          )
            .map((v, i) => v * scale![i % 5]!)
            .map(kept(10)),
      });
    },
  },
  {
    name: "linear, mlp: refuse a scale of another width, or beside an activation",
    run: async () => {
      const [x, w, b] = [Tensor.zeros([2, 3]), Tensor.zeros([3, 3]), Tensor.zeros([3])];
      const scale = Tensor.zeros([2]);
      await refuses(() => linear(x, w, b, { scale }), /linear: expected a scale \[3\] and no activation, got \[2\] and activation "none"/);
      await refuses(() => linear(x, w, b, { scale: b, activation: "gelu" }), /no activation, got \[3\] and activation "gelu"/);
      await refuses(() => mlp(x, w, b, w, b, { scale }), /mlp: expected a scale \[3\], got \[2\]/);
    },
  },
];

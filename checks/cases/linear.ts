import { noGrad } from "../../engine/autograd.ts";
import { Tensor } from "../../engine/tensor.ts";
import { linear } from "../../kernels/linear.ts";
import { mlp } from "../../kernels/mlp.ts";
import { checkOp, refuses, type Case, type Check } from "../check.ts";
import { choice, op, optional } from "../op.ts";
import { GEMM_KINDS, GEMM_VARIANTS, needsOf } from "../gemm-variants.ts";
import { linearReference } from "../reference/matmul.ts";

export const ops = [
  op("linear", {
    inputs: { x: "[..,I]", weight: "[O,I]", bias: optional("[O]") },
    outputs: "y [..,O]",
    attrs: { activation: choice(["none", "gelu"]) },
    variants: GEMM_VARIANTS,
    run: ({ x, weight, bias }, { activation }, variant) => linear(x, weight, bias ?? null, { activation, variant }),
    reference: ({ x, weight, bias }, shapes, { activation }) => {
      const [O = 1, I = 1] = shapes.weight;
      return linearReference({ rows: x.length / I, I, O, gelu: activation === "gelu" })(x, weight, bias);
    },
    macs: ({ rows, I, O }) => rows! * I! * O!,
    timedWith: ["bias"],
    // DeiT-Ti's layers: four images, 64 images; DeiT-S and DeiT-B.
    timed: [
      { sizes: "788x192x768", quick: true },
      { sizes: "12608x192x576", on: "gpu" },
      { sizes: "12608x192x768", on: "gpu" },
      { sizes: "12608x768x192", on: "gpu" },
      { sizes: "12608x384x1536", on: "gpu" },
      { sizes: "12608x768x3072", on: "gpu" },
    ],
  }),
];

const shapes = [
  { why: "one number", lead: [1], I: 1, O: 1 },
  { why: "primes", lead: [2, 13], I: 17, O: 11 },
  { why: "no tile evenly, in fours", lead: [3, 12], I: 36, O: 68 },
  { why: "a head over a small batch, its sum split", lead: [2], I: 768, O: 10 },
  { why: "more rows than a stripe of column sums, dW split", lead: [2, 521], I: 12, O: 8 },
];

export const cases: Case[] = [
  ...GEMM_KINDS.flatMap((variant) =>
    shapes.flatMap(({ why, lead, I, O }) => {
      const rows = lead.reduce((a, b) => a * b, 1);
      const x = [...lead, I],
        y = [...lead, O];
      return [
        {
          name: `linear: ${why} (${variant})`,
          ...needsOf(variant),
          run: () =>
            checkOp({
              inputs: [x, [O, I], [O]],
              op: (x, w, b) => linear(x, w, b, { variant }),
              reference: linearReference({ rows, I, O }),
              shape: y,
            }),
        },
        {
          name: `linear: GELU and residual, ${why} (${variant})`,
          ...needsOf(variant),
          run: () =>
            checkOp({
              inputs: [x, [O, I], [O], y],
              op: (x, w, b, residual) => linear(x, w, b, { activation: "gelu", residual, variant }),
              reference: linearReference({ rows, I, O, gelu: true }),
              // The reference's GELU is slow: values everywhere, gradients where there are few.
              ...(rows * O > 1000 ? { grads: [] } : {}),
            }),
        },
      ];
    }),
  ),
  ...GEMM_KINDS.flatMap((variant) =>
    [
      { rows: 13, I: 5, H: 11, O: 7 },
      { rows: 521, I: 4, H: 8, O: 4 },
    ].map(({ rows, I, H, O }) => ({
      name: `mlp: ${rows} rows (${variant})`,
      ...needsOf(variant),
      run: () =>
        checkOp({
          inputs: [[rows, I], [H, I], [H], [O, H], [O], [rows, O]],
          op: (x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, residual: Tensor) =>
            mlp(x, w1, b1, w2, b2, { residual, variant }),
          reference: (x: Float64Array, w1: Float64Array, b1: Float64Array, w2: Float64Array, b2: Float64Array, residual: Float64Array) =>
            linearReference({ rows, I: H, O })(linearReference({ rows, I, O: H, gelu: true })(x, w1, b1), w2, b2, residual),
          ...(rows > 100 ? { grads: [1, 2, 3] } : {}),
        } as Check),
    })),
  ),
  {
    name: "mlp: refuses weights that do not meet",
    run: () =>
      refuses(
        () => mlp(Tensor.zeros([2, 3]), Tensor.zeros([5, 3]), Tensor.zeros([5]), Tensor.zeros([3, 4]), Tensor.zeros([3])),
        /mlp: expected weights \[H,3\] and \[O,H\] for x \[2,3\], got \[5,3\] and \[3,4\]/,
      ),
  },
  {
    name: "linear: no bias",
    run: () =>
      checkOp({
        inputs: [
          [5, 7],
          [3, 7],
        ],
        op: (x, w) => linear(x, w),
        reference: linearReference({ rows: 5, I: 7, O: 3 }),
      }),
  },
  {
    name: "linear: GELU without a gradient",
    run: () =>
      checkOp({
        inputs: [[5, 7], [3, 7], [3]],
        op: (x, w, b) => noGrad(() => linear(x, w, b, { activation: "gelu" })),
        reference: linearReference({ rows: 5, I: 7, O: 3, gelu: true }),
        grads: [],
      }),
  },
  {
    name: "linear: GELU, gradient of the bias alone",
    run: () =>
      checkOp({
        inputs: [[5, 7], [3, 7], [3]],
        op: (x, w, b) => linear(x, w, b, { activation: "gelu" }),
        reference: linearReference({ rows: 5, I: 7, O: 3, gelu: true }),
        grads: [2],
      }),
  },
  {
    name: "linear: DeiT-Ti's output of attention, one image",
    run: () =>
      checkOp({
        inputs: [[1, 197, 192], [192, 192], [192]],
        op: (x, w, b) => linear(x, w, b),
        reference: linearReference({ rows: 197, I: 192, O: 192 }),
        grads: [],
      }),
  },
  {
    name: "linear: refuses a weight of another width",
    run: () =>
      refuses(
        () => linear(Tensor.zeros([2, 3]), Tensor.zeros([5, 4])),
        /linear: expected x \[\.\.,I\] and weight \[O,I\], got \[2,3\] and \[5,4\]/,
      ),
  },
  {
    name: "linear: refuses a bias of another width",
    run: () =>
      refuses(
        () => linear(Tensor.zeros([2, 3]), Tensor.zeros([5, 3]), Tensor.zeros([3])),
        /linear: expected bias \[5\] for weight \[5,3\], got \[3\]/,
      ),
  },
  {
    name: "linear: refuses a residual of another shape",
    run: () =>
      refuses(
        () => linear(Tensor.zeros([2, 3]), Tensor.zeros([5, 3]), null, { residual: Tensor.zeros([5]) }),
        /linear: expected a residual \[2,5\], got \[5\]/,
      ),
  },
];

import { gradients, noGrad } from "../../engine/autograd.ts";
import { readAll, Tensor } from "../../engine/tensor.ts";
import { linear } from "../../kernels/linear.ts";
import { mlp } from "../../kernels/mlp.ts";
import { ACTIVATION_NAMES } from "../../kernels/shared/activations.ts";
import { checkOp, close, refuses, type Case, type Check } from "../check.ts";
import { choice, op, optional } from "../op.ts";
import { GEMM_KINDS, GEMM_VARIANTS, needsOf } from "../gemm-variants.ts";
import { activationReferences } from "../reference/activations.ts";
import { linearReference } from "../reference/matmul.ts";

export const ops = [
  op("linear", {
    inputs: { x: "[..,I]", weight: "[O,I]", bias: optional("[O]") },
    outputs: "y [..,O]",
    attrs: { activation: choice(ACTIVATION_NAMES) },
    variants: GEMM_VARIANTS,
    run: ({ x, weight, bias }, { activation }, variant) => linear(x, weight, bias ?? null, { activation, variant }),
    reference: ({ x, weight, bias }, shapes, { activation }) => {
      const [O = 1, I = 1] = shapes.weight;
      return linearReference({ rows: x.length / I, I, O, activation })(x, weight, bias);
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
              reference: linearReference({ rows, I, O, activation: "gelu" }),
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
            linearReference({ rows, I: H, O })(linearReference({ rows, I, O: H, activation: "gelu" })(x, w1, b1), w2, b2, residual),
          ...(rows > 100 ? { grads: [1, 2, 3] } : {}),
        } as Check),
    })),
  ),
  // In fours by each kind of kernel, and one element at a time with the sum of dx split.
  ...ACTIVATION_NAMES.flatMap((activation) =>
    [
      ...GEMM_KINDS.map((variant) => ({ why: "in fours", variant, rows: 12, I: 20, O: 16 })),
      { why: "odd, dx split", variant: undefined, rows: 3, I: 7, O: 521 },
    ].map(({ why, variant, rows, I, O }) => ({
      name: `linear: ${activation}, ${why}${variant ? ` (${variant})` : ""}`,
      ...(variant ? needsOf(variant) : {}),
      run: () =>
        checkOp({
          inputs: [[rows, I], [O, I], [O]],
          op: (x, w, b) => linear(x, w, b, { activation, variant }),
          reference: linearReference({ rows, I, O, activation }),
        }),
    })),
  ),
  ...ACTIVATION_NAMES.map((activation) => ({
    name: `mlp: ${activation}`,
    run: () =>
      checkOp({
        inputs: [[13, 8], [12, 8], [12], [5, 12], [5]],
        op: (x, w1, b1, w2, b2) => mlp(x!, w1!, b1!, w2!, b2!, { activation }),
        reference: (x, w1, b1, w2, b2) =>
          linearReference({ rows: 13, I: 12, O: 5 })(linearReference({ rows: 13, I: 8, O: 12, activation })(x!, w1!, b1), w2!, b2),
      }),
  })),
  ...ACTIVATION_NAMES.map((activation) => ({
    name: `linear: ${activation} at 0 and far from it, no NaN in value or gradient`,
    run: async () => {
      const u = [0, -0, 1e-30, 3, -3, 12, -12, 100, -100, 1e10, -1e10, 1e30, -1e30];
      const [x, w] = [Tensor.from(u, [u.length, 1]), Tensor.from([1], [1, 1])];
      x.requiresGrad = true;
      const y = linear(x, w, null, { activation });
      const [dx] = gradients(y, [x], Tensor.from(new Float32Array(u.length).fill(1), y.shape));
      const [values, slopes] = (await readAll([y, dx!])) as [Float32Array, Float32Array];
      for (const t of [x, w, y, dx!]) t.dispose();
      const reference = activationReferences[activation];
      const [at, above, below] = [0, 1e-6, -1e-6].map((by) => reference(Float64Array.from(u, (v) => (Math.abs(v) < 100 ? v + by : 0))));
      u.forEach((v, i) => {
        const far = Math.abs(v) >= 100; // there each is 0 or x
        const on = v > 0 || activation === "none" ? 1 : 0;
        close(`${activation}(${v})`, values[i]!, far ? on * v : at![i]!, 1e-6 * (1 + Math.abs(v)));
        // At 0, where ReLU has no derivative, it is PyTorch's: 0.
        const slope = far || activation === "relu" ? on : (above![i]! - below![i]!) / 2e-6;
        close(`${activation}'(${v})`, slopes[i]!, slope, 2e-5);
      });
    },
  })),
  {
    name: "linear, mlp: refuse an activation that they do not know",
    run: async () => {
      const [x, w, b] = [Tensor.zeros([2, 3]), Tensor.zeros([3, 3]), Tensor.zeros([3])];
      const activation = "tanh" as "gelu";
      await refuses(
        () => linear(x, w, b, { activation }),
        /linear: expected activation "none", "gelu", "relu", "silu", "geluTanh", got "tanh"/,
      );
      await refuses(
        () => mlp(x, w, b, w, b, { activation }),
        /mlp: expected activation "none", "gelu", "relu", "silu", "geluTanh", got "tanh"/,
      );
    },
  },
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
        reference: linearReference({ rows: 5, I: 7, O: 3, activation: "gelu" }),
        grads: [],
      }),
  },
  {
    name: "linear: GELU, gradient of the bias alone",
    run: () =>
      checkOp({
        inputs: [[5, 7], [3, 7], [3]],
        op: (x, w, b) => linear(x, w, b, { activation: "gelu" }),
        reference: linearReference({ rows: 5, I: 7, O: 3, activation: "gelu" }),
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

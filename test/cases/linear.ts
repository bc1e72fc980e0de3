import { noGrad } from "../../engine/autograd.ts";
import { Tensor } from "../../engine/tensor.ts";
import { linear } from "../../kernels/linear.ts";
import { checkOp, refuses, type Case } from "../check.ts";
import { linearReference } from "../reference/matmul.ts";

const shapes = [
  { why: "one number", lead: [1], I: 1, O: 1 },
  { why: "primes", lead: [2, 13], I: 17, O: 11 },
  { why: "no tile evenly, in fours", lead: [3, 12], I: 36, O: 68 },
  { why: "a head over a small batch, its sum split", lead: [2], I: 768, O: 10 },
  { why: "more rows than a stripe of column sums, dW split", lead: [2, 521], I: 12, O: 8 },
];

export const cases: Case[] = [
  ...(["register", "shared"] as const).flatMap((variant) => shapes.flatMap(({ why, lead, I, O }) => {
    const rows = lead.reduce((a, b) => a * b, 1);
    const x = [...lead, I], y = [...lead, O];
    return [
      {
        name: `linear: ${why} (${variant})`,
        run: () => checkOp({ inputs: [x, [O, I], [O]], op: (x, w, b) => linear(x, w, b, { variant }), reference: linearReference({ rows, I, O }), shape: y }),
      },
      {
        name: `linear: GELU and residual, ${why} (${variant})`,
        run: () => checkOp({
          inputs: [x, [O, I], [O], y], op: (x, w, b, residual) => linear(x, w, b, { activation: "gelu", residual, variant }),
          reference: linearReference({ rows, I, O, gelu: true }),
          // The reference's GELU is slow: values everywhere, gradients where there are few.
          ...(rows * O > 1000 ? { grads: [] } : {}),
        }),
      },
    ];
  })),
  { name: "linear: no bias", run: () => checkOp({ inputs: [[5, 7], [3, 7]], op: (x, w) => linear(x, w), reference: linearReference({ rows: 5, I: 7, O: 3 }) }) },
  { name: "linear: GELU without a gradient", run: () => checkOp({ inputs: [[5, 7], [3, 7], [3]], op: (x, w, b) => noGrad(() => linear(x, w, b, { activation: "gelu" })), reference: linearReference({ rows: 5, I: 7, O: 3, gelu: true }), grads: [] }) },
  { name: "linear: GELU, gradient of the bias alone", run: () => checkOp({ inputs: [[5, 7], [3, 7], [3]], op: (x, w, b) => linear(x, w, b, { activation: "gelu" }), reference: linearReference({ rows: 5, I: 7, O: 3, gelu: true }), grads: [2] }) },
  { name: "linear: DeiT-Ti's output of attention, one image", run: () => checkOp({ inputs: [[1, 197, 192], [192, 192], [192]], op: (x, w, b) => linear(x, w, b), reference: linearReference({ rows: 197, I: 192, O: 192 }), grads: [] }) },
  { name: "linear: refuses a weight of another width", run: () => refuses(() => linear(Tensor.zeros([2, 3]), Tensor.zeros([5, 4])), /linear: expected x \[\.\.,I\] and weight \[O,I\], got \[2,3\] and \[5,4\]/) },
  { name: "linear: refuses a bias of another width", run: () => refuses(() => linear(Tensor.zeros([2, 3]), Tensor.zeros([5, 3]), Tensor.zeros([3])), /linear: expected bias \[5\] for weight \[5,3\], got \[3\]/) },
  { name: "linear: refuses a residual of another shape", run: () => refuses(() => linear(Tensor.zeros([2, 3]), Tensor.zeros([5, 3]), null, { residual: Tensor.zeros([5]) }), /linear: expected a residual \[2,5\], got \[5\]/) },
];

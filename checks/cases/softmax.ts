import { Tensor } from "../../engine/tensor.ts";
import { logSoftmax, softmax } from "../../kernels/softmax.ts";
import { checkOp, refuses, uniform, type Case } from "../check.ts";
import { op } from "../op.ts";
import { rowKernels, someVariants } from "../row-variants.ts";
import { logSoftmaxReference, softmaxReference } from "../reference/rows.ts";

const softmaxes = { softmax: { op: softmax, f64: softmaxReference }, logSoftmax: { op: logSoftmax, f64: logSoftmaxReference } } as const;

export const ops = Object.entries(softmaxes).map(([name, { op: run, f64 }]) =>
  op(name, {
    inputs: { x: "[..,N]" },
    outputs: "y [..,N]",
    ...rowKernels("N"),
    run: ({ x }, _, variant) => run(x, { variant }),
    reference: ({ x }, shapes) => f64(shapes.x.at(-1)!)(x),
    timed: [
      { sizes: "12x197x197", quick: name === "softmax" },
      { sizes: "192x197x197", on: "gpu" },
    ],
  }),
);

export const cases: Case[] = [
  ...[
    { why: "rows of one", shape: [3, 1] },
    { why: "rows narrower than a workgroup", shape: [2, 3, 5] },
    { why: "vectors, no multiple of a workgroup", shape: [17, 100] },
    { why: "attention's rows, an odd length", shape: [2, 19, 197] },
    { why: "attention's rows with two tokens, pairs", shape: [37, 198] },
    { why: "long rows of attention", shape: [5, 577] },
    { why: "a thousand classes", shape: [3, 1000] },
    { why: "a row of tens of thousands", shape: [1, 21843] },
  ].flatMap(({ why, shape }) =>
    someVariants(shape.at(-1)!).flatMap((variant): Case[] => [
      {
        name: `softmax (${variant}): ${why}`,
        run: () => checkOp({ inputs: [shape], op: (x) => softmax(x, { variant }), reference: softmaxReference(shape.at(-1)!), shape }),
      },
      {
        name: `logSoftmax (${variant}): ${why}`,
        run: () =>
          checkOp({ inputs: [shape], op: (x) => logSoftmax(x, { variant }), reference: logSoftmaxReference(shape.at(-1)!), shape }),
      },
    ]),
  ),
  ...someVariants(70).flatMap((variant): Case[] => {
    const input = { shape: [3, 70], values: uniform(210, 1).map((x) => Math.fround(1e4 * x)) };
    return [
      {
        name: `softmax (${variant}): logits of 1e4 do not overflow`,
        run: () => checkOp({ inputs: [input], op: (x) => softmax(x, { variant }), reference: softmaxReference(70) }),
      },
      {
        name: `logSoftmax (${variant}): logits of 1e4 do not overflow`,
        run: () => checkOp({ inputs: [input], op: (x) => logSoftmax(x, { variant }), reference: logSoftmaxReference(70) }),
      },
    ];
  }),
  {
    name: "softmax: a team far larger than its row",
    run: () => checkOp({ inputs: [[5, 7]], op: (x) => softmax(x, { variant: "team256" }), reference: softmaxReference(7), shape: [5, 7] }),
  },
  {
    name: "softmax: refuses a team that is too small for a row",
    run: () =>
      refuses(
        () => softmax(Tensor.zeros([2, 21843]), { variant: "team32" }),
        /softmax: expected a variant for rows of 21843 \(shared, register\), got team32/,
      ),
  },
  {
    name: "softmax: refuses a scalar",
    run: () => refuses(() => softmax(Tensor.zeros([])), /softmax: expected at least one axis, got \[\]/),
  },
];

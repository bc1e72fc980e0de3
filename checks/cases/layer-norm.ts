import { Tensor } from "../../engine/tensor.ts";
import { add } from "../../kernels/elementwise.ts";
import { layerNorm } from "../../kernels/layer-norm.ts";
import { checkOp, refuses, uniform, type Case } from "../check.ts";
import { op, positive } from "../op.ts";
import { rowKernels, someVariants } from "../row-variants.ts";
import { layerNormReference } from "../reference/rows.ts";

export const ops = [
  op("layerNorm", {
    inputs: { x: "[..,D]", weight: "[D]", bias: "[D]" },
    outputs: "y [..,D]",
    attrs: { eps: positive(1e-6) },
    ...rowKernels("D"),
    run: ({ x, weight, bias }, { eps }, variant) => layerNorm(x, weight, bias, { eps, variant }),
    reference: ({ x, weight, bias }, shapes, { eps }) => layerNormReference(shapes.weight[0]!, eps)(x, weight, bias),
    timed: [
      { sizes: "788x192", quick: true },
      { sizes: "12608x192", on: "gpu" },
      { sizes: "12608x768", on: "gpu" },
    ],
  }),
];

export const cases: Case[] = [
  ...[
    { why: "one row", shape: [1, 64] },
    { why: "rows narrower than a workgroup", shape: [3, 5] },
    { why: "rows no multiple of a workgroup", shape: [2, 3, 100] },
    { why: "a prime count of rows, past a stripe", shape: [331, 8] },
    { why: "DeiT-Ti, 196 patches and 2 tokens", shape: [1, 198, 192] },
    { why: "a long row", shape: [2, 1000] },
    { why: "more rows than a stripe", shape: [2051, 8] },
    { why: "a row of pairs", shape: [23, 198] },
    { why: "rows for a workgroup each", shape: [19, 3072] },
  ].flatMap(({ why, shape }) =>
    someVariants(shape.at(-1)!).map(
      (variant): Case => ({
        name: `layerNorm (${variant}): ${why}`,
        run: () =>
          checkOp({
            inputs: [shape, [shape.at(-1)!], [shape.at(-1)!]],
            op: (x, w, b) => layerNorm(x, w, b, { variant }),
            reference: layerNormReference(shape.at(-1)!),
            shape,
          }),
      }),
    ),
  ),
  ...someVariants(96).map(
    (variant): Case => ({
      name: `layerNorm (${variant}): a mean far above the spread`,
      run: () =>
        checkOp({
          inputs: [{ shape: [3, 96], values: uniform(288, 1).map((x) => Math.fround(100 + x)) }, [96], [96]],
          op: (x, w, b) => layerNorm(x, w, b, { variant }),
          reference: layerNormReference(96),
        }),
    }),
  ),
  ...someVariants(100).map(
    (variant): Case => ({
      name: `layerNorm (${variant}): a large eps`,
      run: () =>
        checkOp({
          inputs: [[4, 100], [100], [100]],
          op: (x, w, b) => layerNorm(x, w, b, { variant, eps: 0.5 }),
          reference: layerNormReference(100, 0.5),
        }),
    }),
  ),
  ...someVariants(12).map(
    (variant): Case => ({
      name: `layerNorm (${variant}): a residual's gradient, added in the same launch`,
      run: () =>
        checkOp({
          inputs: [[70, 12], [12], [12]],
          op: (x, w, b) => add(x, layerNorm(x, w, b, { variant })),
          reference: (x, w, b) => layerNormReference(12)(x, w, b).map((v, i) => v + x[i]!),
        }),
    }),
  ),
  {
    name: "layerNorm: of a tensor that is its own weight",
    run: () => checkOp({ inputs: [[8], [8]], op: (x, b) => layerNorm(x, x, b), reference: (x, b) => layerNormReference(8)(x, x, b) }),
  },
  {
    name: "layerNorm: refuses a weight of another width",
    run: () =>
      refuses(
        () => layerNorm(Tensor.zeros([2, 4]), Tensor.zeros([5]), Tensor.zeros([4])),
        /layerNorm: expected weight and bias \[4\].*got \[5\]/,
      ),
  },
];

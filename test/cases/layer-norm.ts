import { Tensor } from "../../engine/tensor.ts";
import { add } from "../../kernels/elementwise.ts";
import { layerNorm } from "../../kernels/layer-norm.ts";
import type { RowVariant } from "../../kernels/rows.ts";
import { checkOp, refuses, uniform, type Case } from "../check.ts";
import { layerNormReference } from "../reference/rows.ts";

const variants: readonly RowVariant[] = ["register", "shared"];

export const cases: Case[] = [
  ...variants.flatMap((variant): Case[] => [
    ...[
      { why: "one row", shape: [1, 64] },
      { why: "rows narrower than a workgroup", shape: [3, 5] },
      { why: "rows no multiple of a workgroup", shape: [2, 3, 100] },
      { why: "a prime count of rows, past a stripe", shape: [331, 8] },
      { why: "DeiT-Ti, 196 patches and 2 tokens", shape: [1, 198, 192] },
      { why: "a long row", shape: [2, 1000] },
      { why: "more rows than a stripe", shape: [2051, 8] },
    ].map(({ why, shape }): Case => ({
      name: `layerNorm (${variant}): ${why}`,
      run: () => checkOp({ inputs: [shape, [shape.at(-1)!], [shape.at(-1)!]], op: (x, w, b) => layerNorm(x, w, b, { variant }), reference: layerNormReference(shape.at(-1)!), shape }),
    })),
    {
      name: `layerNorm (${variant}): a mean far above the spread`,
      run: () => checkOp({
        inputs: [{ shape: [3, 96], values: uniform(288, 1).map((x) => Math.fround(100 + x)) }, [96], [96]],
        op: (x, w, b) => layerNorm(x, w, b, { variant }), reference: layerNormReference(96),
      }),
    },
    {
      name: `layerNorm (${variant}): a large eps`,
      run: () => checkOp({ inputs: [[4, 100], [100], [100]], op: (x, w, b) => layerNorm(x, w, b, { variant, eps: 0.5 }), reference: layerNormReference(100, 0.5) }),
    },
  ]),
  ...variants.map((variant): Case => ({
    name: `layerNorm (${variant}): a residual's gradient, added in the same launch`,
    run: () => checkOp({
      inputs: [[70, 12], [12], [12]], op: (x, w, b) => add(x, layerNorm(x, w, b, { variant })),
      reference: (x, w, b) => layerNormReference(12)(x, w, b).map((v, i) => v + x[i]!),
    }),
  })),
  { name: "layerNorm: of a tensor that is its own weight", run: () => checkOp({ inputs: [[8], [8]], op: (x, b) => layerNorm(x, x, b), reference: (x, b) => layerNormReference(8)(x, x, b) }) },
  { name: "layerNorm: refuses a weight of another width", run: () => refuses(() => layerNorm(Tensor.zeros([2, 4]), Tensor.zeros([5]), Tensor.zeros([4])), /layerNorm: expected weight and bias \[4\].*got \[5\]/) },
];

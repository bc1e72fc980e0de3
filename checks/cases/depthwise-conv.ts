import { Tensor } from "../../engine/tensor.ts";
import { depthwiseConv } from "../../kernels/depthwise-conv.ts";
import { checkOp, refuses, type Case } from "../check.ts";
import { op, optional } from "../op.ts";
import { depthwiseReference } from "../reference/conv.ts";

export const ops = [
  op("depthwiseConv", {
    inputs: { x: "[B,H,W,C]", weight: "[C,1,K,K]", bias: optional("[C]") },
    outputs: "y [B,H,W,C]",
    run: ({ x, weight, bias }) => depthwiseConv(x, weight, bias ?? null),
    reference: ({ x, weight, bias }, shapes) => depthwiseReference(shapes.x, shapes.weight)(x, weight, bias),
    label: ({ B, H, W, C, K }) => `B${B} ${H}x${W} C${C} k${K}`,
    // ConvNeXt-Atto's and ConvNeXt-Tiny's.
    timed: [
      { sizes: "1x56x56x40x7" },
      { sizes: "1x14x14x384x7" },
      { sizes: "64x56x56x96x7", on: "gpu" },
      { sizes: "64x14x14x384x7", on: "gpu" },
    ],
  }),
];

const shapes = [
  { why: "one of everything", x: [1, 1, 1, 1], K: 1 },
  { why: "7x7 over vectors of channels, whole runs of columns", x: [2, 5, 7, 8], K: 7, bias: true },
  { why: "7x7 over single channels, a rest of a run", x: [1, 9, 10, 3], K: 7, bias: true },
  { why: "7x7 on an image smaller than its kernel", x: [3, 2, 1, 4], K: 7, bias: true },
  { why: "3x3 without bias, more threads than a workgroup", x: [1, 6, 30, 20], K: 3 },
  { why: "weights summed over stripes of rows", x: [5, 33, 3, 4], K: 5, bias: true },
];

export const cases: Case[] = [
  ...shapes.map(({ why, x, K, bias = false }) => {
    const [C, weight] = [x[3]!, [x[3]!, 1, K, K]];
    return {
      name: `depthwiseConv: ${why}`,
      run: () =>
        checkOp({
          inputs: bias ? [x, weight, [C]] : [x, weight],
          op: (...t) => depthwiseConv(t[0]!, t[1]!, t[2] ?? null),
          reference: depthwiseReference(x, weight),
        }),
    };
  }),
  {
    name: "depthwiseConv: refuses an even kernel",
    run: () =>
      refuses(
        () => depthwiseConv(Tensor.zeros([1, 4, 4, 2]), Tensor.zeros([2, 1, 4, 4])),
        /depthwiseConv: expected x \[B,H,W,C\] and weight \[C,1,K,K\] of odd K, got \[1,4,4,2\] and \[2,1,4,4\]/,
      ),
  },
  {
    name: "depthwiseConv: refuses a bias of another length",
    run: () =>
      refuses(
        () => depthwiseConv(Tensor.zeros([1, 4, 4, 2]), Tensor.zeros([2, 1, 3, 3]), Tensor.zeros([3])),
        /depthwiseConv: expected bias \[2\], got \[3\]/,
      ),
  },
];

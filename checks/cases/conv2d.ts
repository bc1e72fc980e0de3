import { z } from "zod";
import { Tensor } from "../../engine/tensor.ts";
import { conv2d } from "../../kernels/conv2d.ts";
import { checkOp, refuses, type Case } from "../check.ts";
import { attr, count, op, optional } from "../op.ts";
import { convReference } from "../reference/conv.ts";

const side = (size: number, kernel: number, { stride, padding }: { readonly stride: number; readonly padding: number }): number =>
  Math.floor((size + 2 * padding - kernel) / stride) + 1;

export const ops = [
  op("conv2d", {
    inputs: { x: "[B,C,H,W]", weight: "[O,C/groups,kh,kw]", bias: optional("[O]") },
    outputs: "y [B,O,H',W']",
    attrs: { stride: count(1), padding: attr(z.int().min(0), "an integer from 0 on", 0), groups: count(1) },
    run: ({ x, weight, bias }, attrs) => conv2d(x, weight, bias ?? null, attrs),
    reference: ({ x, weight, bias }, shapes, attrs) => convReference({ x: shapes.x, weight: shapes.weight, ...attrs })(x, weight, bias),
    derived: ({ H, W, kh, kw }, attrs) => ({ "H'": side(H!, kh!, attrs), "W'": side(W!, kw!, attrs) }),
    macs: (n, { groups }) => (n["B"]! * n["O"]! * n["H'"]! * n["W'"]! * n["C"]! * n["kh"]! * n["kw"]!) / groups,
    label: ({ B, C, H, W, O, kh }, { stride, padding, groups }) =>
      `B${B} C${C} ${H}x${W} O${O} k${kh} s${stride} p${padding}${groups > 1 ? ` g${groups}` : ""}`,
    // Patches as a convolution, then those of RegNetY-0.4GF (1x1, 3x3 in groups of 8) and RegNetY-16GF (groups of 112).
    timed: [
      { sizes: "1x3x224x224x192x16x16", attrs: { stride: 16 } },
      { sizes: "64x3x224x224x192x16x16", attrs: { stride: 16 }, on: "gpu" },
      { sizes: "1x64x28x28x64x3x3", attrs: { padding: 1 } },
      { sizes: "1x48x56x56x48x1x1" },
      { sizes: "1x104x28x28x104x3x3", attrs: { padding: 1, groups: 13 }, quick: true },
      { sizes: "32x104x28x28x208x1x1", on: "gpu" },
      { sizes: "32x208x14x14x208x3x3", attrs: { padding: 1, groups: 26 }, on: "gpu" },
      { sizes: "32x1232x14x14x1232x1x1", on: "gpu" },
      { sizes: "32x1232x14x14x1232x3x3", attrs: { padding: 1, groups: 11 }, on: "gpu" },
    ],
  }),
];

const shapes = [
  { why: "one of everything", x: [1, 1, 1, 1], weight: [1, 1, 1, 1] },
  { why: "1x1, pixels and channels that fill no tile", x: [3, 5, 5, 7], weight: [13, 5, 1, 1] },
  { why: "1x1, whole vectors of pixels", x: [2, 16, 4, 4], weight: [24, 16, 1, 1] },
  { why: "1x1 on single pixels, with bias (squeeze-excite)", x: [3, 12, 1, 1], weight: [7, 12, 1, 1], bias: true },
  { why: "1x1 stride 2 (shortcut), even", x: [2, 9, 8, 8], weight: [10, 9, 1, 1], stride: 2 },
  { why: "1x1 stride 2, odd", x: [2, 3, 5, 7], weight: [4, 3, 1, 1], stride: 2 },
  { why: "3x3 dense (stem), with bias", x: [2, 3, 8, 8], weight: [32, 3, 3, 3], padding: 1, bias: true },
  { why: "3x3 dense stride 2 (stem)", x: [2, 3, 16, 16], weight: [12, 3, 3, 3], padding: 1, stride: 2 },
  { why: "3x3 without padding", x: [1, 2, 5, 7], weight: [3, 2, 3, 3] },
  { why: "3x3 odd image", x: [3, 4, 5, 7], weight: [9, 4, 3, 3], padding: 1 },
  { why: "3x3 stride 2, odd image", x: [3, 4, 5, 7], weight: [9, 4, 3, 3], padding: 1, stride: 2 },
  { why: "3x3 stride 2, columns past whole tiles", x: [1, 2, 11, 13], weight: [5, 2, 3, 3], padding: 1, stride: 2 },
  { why: "3x3 on 2x2", x: [2, 3, 2, 2], weight: [4, 3, 3, 3], padding: 1 },
  { why: "3x3 on a single row", x: [2, 3, 1, 9], weight: [4, 3, 3, 3], padding: 1 },
  { why: "3x3 stride 2 on 3x3", x: [2, 2, 3, 3], weight: [4, 2, 3, 3], padding: 1, stride: 2 },
  { why: "groups of 8", x: [2, 24, 4, 4], weight: [24, 8, 3, 3], padding: 1, groups: 3 },
  { why: "groups of 8, 16 wide", x: [1, 16, 16, 16], weight: [16, 8, 3, 3], padding: 1, groups: 2 },
  { why: "groups of 16, stride 2", x: [2, 32, 8, 8], weight: [32, 16, 3, 3], padding: 1, stride: 2, groups: 2 },
  { why: "depthwise", x: [2, 5, 7, 9], weight: [5, 1, 3, 3], padding: 1, groups: 5 },
  { why: "two outputs per input channel", x: [1, 3, 4, 6], weight: [6, 1, 3, 3], padding: 1, stride: 2, groups: 3 },
  { why: "weight summed over stripes", x: [3, 2, 40, 40], weight: [3, 2, 3, 3], padding: 1, stride: 2 },
  { why: "kernel 5x3", x: [1, 2, 6, 6], weight: [3, 2, 5, 3], padding: 2 },
  { why: "7x7 stride 4", x: [1, 2, 12, 12], weight: [3, 2, 7, 7], padding: 3, stride: 4 },
  { why: "patches of 2x2, two images, no bias", x: [2, 3, 6, 4], weight: [5, 3, 2, 2], stride: 2 },
  { why: "patches with a rest of the image", x: [2, 2, 7, 9], weight: [3, 2, 3, 3], stride: 3 },
  { why: "patches in groups", x: [2, 4, 4, 6], weight: [4, 2, 2, 2], stride: 2, groups: 2 },
  { why: "patches, the weights' sum split", x: [3, 1, 32, 64], weight: [2, 1, 2, 2], stride: 2, bias: true },
  { why: "patch embedding 16x16", x: [1, 3, 32, 48], weight: [6, 3, 16, 16], stride: 16, bias: true },
];

export const cases: Case[] = [
  ...shapes.map(({ why, x, weight, bias = false, ...options }) => ({
    name: `conv2d: ${why}`,
    run: () =>
      checkOp({
        inputs: bias ? [x, weight, [weight[0]!]] : [x, weight],
        op: (...t) => conv2d(t[0]!, t[1]!, t[2] ?? null, options),
        reference: convReference({ x, weight, ...options }),
      }),
  })),
  {
    name: "conv2d: refuses weights of another group width",
    run: () =>
      refuses(
        () => conv2d(Tensor.zeros([1, 8, 4, 4]), Tensor.zeros([8, 3, 3, 3]), null, { groups: 2 }),
        /conv2d: expected weight \[O,4,kh,kw\].*got \[8,3,3,3\]/,
      ),
  },
  {
    name: "conv2d: refuses an image smaller than the kernel",
    run: () =>
      refuses(
        () => conv2d(Tensor.zeros([1, 1, 2, 2]), Tensor.zeros([1, 1, 3, 3])),
        /conv2d: expected an image of at least 3x3 with padding 0, got \[1,1,2,2\]/,
      ),
  },
  {
    name: "conv2d: refuses a bias of another length",
    run: () =>
      refuses(
        () => conv2d(Tensor.zeros([1, 1, 2, 2]), Tensor.zeros([4, 1, 1, 1]), Tensor.zeros([3])),
        /conv2d: expected bias \[4\], got \[3\]/,
      ),
  },
];

import { z } from "zod";
import { Tensor } from "../../engine/tensor.ts";
import { maxPool2d } from "../../kernels/max-pool.ts";
import { checkOp, close, refuses, type Case } from "../check.ts";
import { gradients } from "../../engine/autograd.ts";
import { attr, count, op } from "../op.ts";
import { maxPoolReference } from "../reference/conv.ts";

const side = (
  size: number,
  { kernel, stride, padding }: { readonly kernel: number; readonly stride: number; readonly padding: number },
): number => Math.floor((size + 2 * padding - kernel) / stride) + 1;

export const ops = [
  op("maxPool2d", {
    inputs: { x: "[B,C,H,W]" },
    outputs: "y [B,C,H',W']",
    attrs: { kernel: count(2), stride: count(2), padding: attr(z.int().min(0), "an integer from 0 on", 0) },
    run: ({ x }, attrs) => maxPool2d(x, attrs),
    reference: ({ x }, shapes, attrs) => maxPoolReference(shapes.x, attrs)(x),
    derived: ({ H, W }, attrs) => ({ "H'": side(H!, attrs), "W'": side(W!, attrs) }),
    // The stem of a ResNet.
    timed: [
      { sizes: "1x64x112x112", attrs: { kernel: 3, stride: 2, padding: 1 } },
      { sizes: "32x64x112x112", attrs: { kernel: 3, stride: 2, padding: 1 }, on: "gpu" },
    ],
  }),
];

const shapes = [
  { why: "a single pixel, padded", x: [1, 1, 1, 1], kernel: 3, stride: 2, padding: 1 },
  { why: "3x3 stride 2, even (a ResNet's stem)", x: [2, 5, 8, 8], kernel: 3, stride: 2, padding: 1 },
  { why: "3x3 stride 2, odd", x: [3, 2, 7, 9], kernel: 3, stride: 2, padding: 1 },
  { why: "more pixels than a workgroup has threads", x: [1, 3, 18, 34], kernel: 3, stride: 2, padding: 1 },
  { why: "2x2, windows side by side, with a rest", x: [2, 3, 5, 7], kernel: 2, stride: 2, padding: 0 },
  { why: "3x3 stride 1, nine windows on a pixel", x: [1, 2, 6, 5], kernel: 3, stride: 1, padding: 1 },
  { why: "windows with pixels between them", x: [1, 2, 9, 11], kernel: 2, stride: 4, padding: 0 },
  { why: "a kernel of 5 over padding 2", x: [1, 1, 4, 6], kernel: 5, stride: 3, padding: 2 },
];

export const cases: Case[] = [
  ...shapes.map(({ why, x, ...options }) => ({
    name: `maxPool2d: ${why}`,
    run: () => checkOp({ inputs: [x], op: (t) => maxPool2d(t!, options), reference: maxPoolReference(x, options) }),
  })),
  {
    name: "maxPool2d: padding is below every pixel, and the first of equal pixels has the gradient",
    async run() {
      const x = Tensor.from([-3, -3, -3, -5], [1, 1, 2, 2]);
      x.requiresGrad = true;
      const y = maxPool2d(x, { kernel: 2 });
      close("y", await y.item(), -3, 0);
      const dx = await gradients(y, [x])[0]!.floats();
      [1, 0, 0, 0].forEach((v, i) => close(`dx[${i}]`, dx[i]!, v, 0));
    },
  },
  {
    name: "maxPool2d: refuses an image smaller than the kernel",
    run: () =>
      refuses(
        () => maxPool2d(Tensor.zeros([1, 1, 2, 2]), { kernel: 3 }),
        /maxPool2d: expected x \[B,C,H,W\] of at least 3x3 with padding 0, got \[1,1,2,2\]/,
      ),
  },
  {
    name: "maxPool2d: refuses padding beyond half of its kernel",
    run: () =>
      refuses(
        () => maxPool2d(Tensor.zeros([1, 1, 4, 4]), { padding: 2 }),
        /maxPool2d: expected a padding of at most half the kernel 2, got 2/,
      ),
  },
];

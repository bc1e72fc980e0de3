import { Tensor } from "../../engine/tensor.ts";
import { patchEmbed } from "../../kernels/patch-embed.ts";
import { checkOp, refuses, type Case } from "../check.ts";
import { patchEmbedReference } from "../reference/matmul.ts";

const shapes = [
  { why: "one pixel", B: 1, C: 1, H: 1, W: 1, D: 1, p: 1 },
  { why: "odd everything, wider than high", B: 2, C: 3, H: 6, W: 15, D: 7, p: 3 },
  { why: "patches of one pixel", B: 2, C: 5, H: 3, W: 4, D: 6, p: 1 },
  { why: "CIFAR's size", B: 2, C: 3, H: 32, W: 32, D: 24, p: 4 },
  { why: "DeiT's patches", B: 1, C: 3, H: 32, W: 48, D: 40, p: 16 },
];

export const cases: Case[] = [
  ...shapes.flatMap(({ why, B, C, H, W, D, p }) => (["register", "shared"] as const).map((variant) => ({
    name: `patchEmbed: ${why} (${variant})`,
    run: () => checkOp({
      inputs: [[B, C, H, W], [D, C, p, p], [D]], op: (x, w, b) => patchEmbed(x, w, b, { variant }),
      reference: patchEmbedReference(B, C, H, W, D, p), shape: [B, (H / p) * (W / p), D],
    }),
  }))),
  { name: "patchEmbed: refuses sides that are no multiple of a patch", run: () => refuses(() => patchEmbed(Tensor.zeros([1, 3, 8, 9]), Tensor.zeros([2, 3, 4, 4]), Tensor.zeros([2])), /patchEmbed: expected sides that are multiples of 4, got \[1,3,8,9\]/) },
  { name: "patchEmbed: refuses other channels", run: () => refuses(() => patchEmbed(Tensor.zeros([1, 3, 8, 8]), Tensor.zeros([2, 1, 4, 4]), Tensor.zeros([2])), /patchEmbed: expected x \[B,C,H,W\] and weight \[D,C,p,p\], got \[1,3,8,8\] and \[2,1,4,4\]/) },
];

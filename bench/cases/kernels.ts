/** Operations at the sizes that DeiT and RegNetY have them. */
import type { Case } from "../case.ts";
import {
  adamw,
  attention,
  batchNorm,
  both,
  conv2d,
  crossEntropy,
  gelu,
  layerNorm,
  linear,
  matmul,
  patchEmbed,
  softmax,
  type Place,
} from "./make.ts";

const all: Place = { sets: both };
const quick: Place = { sets: both, quick: true };
const gpu: Place = { sets: ["gpu"] };
const software: Place = { sets: ["software"] };

export const kernels: readonly Case[] = [
  ...matmul(quick, 256, 256, 256),
  ...matmul(all, 197, 192, 768),
  ...matmul(gpu, 1024, 1024, 1024),
  ...matmul(gpu, 4096, 4096, 4096),
  // DeiT-Ti's layers: four images, 64 images; DeiT-S and DeiT-B.
  ...linear(quick, 788, 192, 768),
  ...linear(gpu, 12608, 192, 576),
  ...linear(gpu, 12608, 192, 768),
  ...linear(gpu, 12608, 768, 192),
  ...linear(gpu, 12608, 384, 1536),
  ...linear(gpu, 12608, 768, 3072),
  ...softmax(quick, 12, 197, 197),
  ...softmax(gpu, 192, 197, 197),
  ...layerNorm(quick, 788, 192),
  ...layerNorm(gpu, 12608, 192),
  ...layerNorm(gpu, 12608, 768),
  ...gelu(quick, 788, 768),
  ...gelu(gpu, 12608, 768),
  // 197 tokens: plain, 198: distilled; 577 are 384 x 384 images, 50 are patches of 32.
  ...attention(software, 1, 3, 198),
  ...attention({ ...quick, sets: both }, 4, 3, 198),
  ...attention(gpu, 8, 3, 198),
  ...attention(gpu, 64, 3, 198),
  ...attention(gpu, 64, 12, 197),
  ...attention(gpu, 16, 12, 577),
  ...patchEmbed(quick, 1, 192),
  ...patchEmbed(gpu, 64, 192),
  ...patchEmbed(gpu, 64, 768),
  // The same as a convolution, then those of RegNetY-0.4GF (1x1, 3x3 in groups of 8) and RegNetY-16GF (groups of 112).
  ...conv2d(all, 1, 3, 224, 192, 16, { stride: 16 }),
  ...conv2d(gpu, 64, 3, 224, 192, 16, { stride: 16 }),
  ...conv2d(all, 1, 64, 28, 64, 3, { padding: 1 }),
  ...conv2d(all, 1, 48, 56, 48, 1),
  ...conv2d(quick, 1, 104, 28, 104, 3, { padding: 1, groups: 13 }),
  ...conv2d(gpu, 32, 104, 28, 208, 1),
  ...conv2d(gpu, 32, 208, 14, 208, 3, { padding: 1, groups: 26 }),
  ...conv2d(gpu, 32, 1232, 14, 1232, 1),
  ...conv2d(gpu, 32, 1232, 14, 1232, 3, { padding: 1, groups: 11 }),
  ...batchNorm(all, 4, 104, 28),
  ...batchNorm(gpu, 32, 208, 28),
  ...crossEntropy(all, 64, 1000),
  ...crossEntropy(gpu, 1024, 1000),
  // DeiT-Ti's parameters, DeiT-B's.
  ...adamw({ ...quick, sets: ["software"] }, 1048576),
  ...adamw(gpu, 5910800),
  ...adamw(gpu, 87338192),
];

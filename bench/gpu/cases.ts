/** What a GPU run measures beyond the benchmark's own cases: sizes that fill a data-centre GPU, the most telling ones first. */
import { chosenCases } from "../cases.ts";
import type { Case } from "../case.ts";
import {
  adamw,
  attention,
  batchNorm,
  crossEntropy,
  forward,
  gelu,
  layerNorm,
  linear,
  matmul,
  softmax,
  train,
  type Place,
} from "../cases/make.ts";
import { deitConfig, type DeitConfig } from "../../models/deit.ts";
import { dim96 } from "../cases/models.ts";

const gpu: Place = { sets: ["gpu"] };

export const SIZES = ["tiny", "small", "base"] as const;
export type Size = (typeof SIZES)[number];
/** Tried from the left until one fits. */
export const BATCHES = [256, 128, 64, 32, 8] as const;

export const modelName = (size: Size): string => `deit_${size}_patch16_224`;

/** Rows of 64 images' tokens; widths of DeiT-S and DeiT-B. */
const gemms = [
  ...matmul(gpu, 4096, 4096, 4096),
  ...[384, 768].flatMap((D) => [
    ...linear(gpu, 12608, D, 4 * D),
    ...linear(gpu, 12608, 4 * D, D),
    ...linear(gpu, 12608, D, 3 * D),
    ...linear(gpu, 12608, D, D),
  ]),
];

/** Arrays of 100 MB and more: smaller ones would stay in a large GPU's cache. */
const rows = [
  ...layerNorm(gpu, 50432, 768),
  ...softmax(gpu, 768, 197, 197),
  ...gelu(gpu, 12608, 3072),
  ...crossEntropy(gpu, 32768, 1000),
  ...batchNorm(gpu, 64, 208, 56),
  ...adamw(gpu, 87338192),
];

const attentions = [...attention(gpu, 64, 6, 197), ...attention(gpu, 64, 12, 197), ...attention(gpu, 16, 12, 577)];

export function kernelCases(smoke: boolean): Case[] {
  const usual = chosenCases(smoke ? "software" : "gpu", { suite: "kernels", quick: smoke, only: "" });
  // What has targets first, and forward before backward: time may be short.
  const all = smoke
    ? usual.slice(0, 8)
    : [...[...gemms, ...rows, ...attentions].sort((a, b) => Number(a.backward) - Number(b.backward)), ...usual];
  return [...new Map(all.map((c) => [c.name, c])).values()];
}

/** What Dawn's checks could cost: products, rows, attention. */
export const uncheckedCases = (smoke: boolean): Case[] =>
  smoke ? kernelCases(true).slice(0, 2) : kernelCases(false).slice(0, gemms.length + attentions.length + rows.length);

export type Mode = "forward" | "train";

const configOf = (size: Size, smoke: boolean): DeitConfig => (smoke ? { ...dim96, distilled: false } : deitConfig(modelName(size))!);

export function modelCase(mode: Mode, size: Size, batch: number, smoke: boolean): Case {
  const make = mode === "forward" ? forward : train;
  return make(gpu, smoke ? `deit_dim96_depth4_patch4_32 as ${size}` : modelName(size), batch, configOf(size, smoke));
}

/** Beside tfjs: batches at which its buffers fit too, models before what could take them down. */
export function rivalCases(smoke: boolean): Case[] {
  if (smoke) return [modelCase("train", "small", 2, true), ...kernelCases(true).slice(0, 2)];
  const kernels = [
    ...matmul(gpu, 1024, 1024, 1024),
    ...linear(gpu, 12608, 384, 1536),
    ...layerNorm(gpu, 12608, 384),
    ...softmax(gpu, 192, 197, 197),
    ...attention(gpu, 64, 3, 198),
  ];
  return [
    modelCase("train", "small", 8, false),
    modelCase("forward", "small", 64, false),
    modelCase("train", "tiny", 16, false),
    modelCase("forward", "tiny", 64, false),
    ...matmul(gpu, 4096, 4096, 4096).slice(0, 1),
    ...kernels,
    modelCase("forward", "base", 32, false),
    modelCase("train", "base", 8, false),
    modelCase("train", "small", 32, false),
  ];
}

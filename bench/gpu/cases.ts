/** What a GPU run measures beyond the benchmark's own cases: sizes that fill a data-centre GPU, the most telling ones first. */
import { chosenCases } from "../cases.ts";
import type { Benchmark } from "../benchmark.ts";
import { ops } from "../../checks/catalog.ts";
import { adamw, forward, kernel, train, type Place } from "../cases/make.ts";
import type { DeitConfig } from "../../models/deit.ts";
import { deitConfig } from "../../models/deit-names.ts";
import { dim96 } from "../cases/models.ts";

const gpu: Place = { sets: ["gpu"] };

/** An operation of the catalog on one shape, forward and with its backward. */
const on = (op: string, sizes: string, attrs?: Readonly<Record<string, unknown>>): Benchmark[] => kernel(gpu, ops[op]!, sizes, attrs);

export const SIZES = ["tiny", "small", "base"] as const;
export type Size = (typeof SIZES)[number];
/** Tried from the left until one fits. */
export const BATCHES = [256, 128, 64, 32, 8] as const;

export const modelName = (size: Size): string => `deit_${size}_patch16_224`;

/** Rows of 64 images' tokens; widths of DeiT-S and DeiT-B. */
const gemms = [
  ...on("matmul", "4096x4096x4096"),
  ...[384, 768].flatMap((D) => [
    ...on("linear", `12608x${D}x${4 * D}`),
    ...on("linear", `12608x${4 * D}x${D}`),
    ...on("linear", `12608x${D}x${3 * D}`),
    ...on("linear", `12608x${D}x${D}`),
  ]),
];

/** Arrays of 100 MB and more: smaller ones would stay in a large GPU's cache. */
const rows = [
  ...on("layerNorm", "50432x768"),
  ...on("softmax", "768x197x197"),
  ...on("gelu", "12608x3072"),
  ...on("crossEntropy", "32768x1000"),
  ...on("batchNorm", "64x208x56x56", { training: true }),
  ...adamw(gpu, 87338192),
];

const attentions = [...on("attention", "64x6x197x197x64"), ...on("attention", "64x12x197x197x64"), ...on("attention", "16x12x577x577x64")];

export function kernelCases(smoke: boolean): Benchmark[] {
  const usual = chosenCases(smoke ? "software" : "gpu", { suite: "kernels", quick: smoke, only: "" });
  // What has targets first, and forward before backward: time may be short.
  const all = smoke
    ? usual.slice(0, 8)
    : [...[...gemms, ...rows, ...attentions].sort((a, b) => Number(a.backward) - Number(b.backward)), ...usual];
  return [...new Map(all.map((c) => [c.name, c])).values()];
}

/** Benchmarks that measure the cost of Dawn's checks: products, rows, attention. */
export const uncheckedCases = (smoke: boolean): Benchmark[] =>
  smoke ? kernelCases(true).slice(0, 2) : kernelCases(false).slice(0, gemms.length + attentions.length + rows.length);

export type Mode = "forward" | "train";

const configOf = (size: Size, smoke: boolean): DeitConfig => (smoke ? { ...dim96, distilled: false } : deitConfig(modelName(size))!);

export function modelCase(mode: Mode, size: Size, batch: number, smoke: boolean): Benchmark {
  const make = mode === "forward" ? forward : train;
  return make(gpu, smoke ? `deit_dim96_depth4_patch4_32 as ${size}` : modelName(size), batch, configOf(size, smoke));
}

/** Beside tfjs: batches at which its buffers fit too, models before what could take them down. */
export function rivalCases(smoke: boolean): Benchmark[] {
  if (smoke) return [modelCase("train", "small", 2, true), ...kernelCases(true).slice(0, 2)];
  const kernels = [
    ...on("matmul", "1024x1024x1024"),
    ...on("linear", "12608x384x1536"),
    ...on("layerNorm", "12608x384"),
    ...on("softmax", "192x197x197"),
    ...on("attention", "64x3x198x198x64"),
  ];
  return [
    modelCase("train", "small", 8, false),
    modelCase("forward", "small", 64, false),
    modelCase("train", "tiny", 16, false),
    modelCase("forward", "tiny", 64, false),
    ...on("matmul", "4096x4096x4096").slice(0, 1),
    ...kernels,
    modelCase("forward", "base", 32, false),
    modelCase("train", "base", 8, false),
    modelCase("train", "small", 32, false),
  ];
}

/** Cases from sizes: names, work and tolerances. Names stay as they are once results have been published under them. */
import { deitMacs, deitParams, type DeitConfig } from "../../models/deit.ts";
import { regnetMacs, type RegNetConfig } from "../../models/regnet.ts";
import { costs, type Affordable, type BenchRecipe, type Case, type KernelWork, type Suite } from "../case.ts";

export const both: readonly Affordable[] = ["software", "gpu"];

/** Where a case belongs. */
export interface Place {
  readonly sets: readonly Affordable[];
  readonly suite?: Suite;
  readonly quick?: boolean;
}

const KERNEL = { tolerance: 1e-4, reason: "sums of up to some thousand f32 products in another order" } as const;
const MODEL = { tolerance: 2e-4, reason: "f32 through every layer of a model, summed in another order" } as const;
const STEP = {
  tolerance: 2e-4,
  reason: "losses of consecutive steps: what differs in one step's gradients is in the next step's weights",
} as const;

export const recipe: BenchRecipe = {
  lr: 5e-4,
  beta1: 0.9,
  beta2: 0.999,
  eps: 1e-8,
  weightDecay: 0.05,
  distillation: "hard",
  alpha: 0.5,
  labelSmoothing: 0.1,
};

/** A case and its twin with the backward. */
export function kernel({ sets, suite = "kernels", quick = false }: Place, name: string, work: KernelWork): Case[] {
  const { flops, bytes, bytesBackward } = costs(work);
  const shared = { suite, dtype: "f32", work, ...KERNEL, compared: 1, sets, quick } as const;
  return [
    { ...shared, name, backward: false, flops, bytes },
    { ...shared, name: `${name} fwd+bwd`, backward: true, flops: 3 * flops, bytes: bytes + bytesBackward },
  ];
}

export const matmul = (p: Place, M: number, K: number, N: number): Case[] => kernel(p, `matmul ${M}x${K}x${N}`, { op: "matmul", M, K, N });
export const linear = (p: Place, rows: number, I: number, O: number): Case[] =>
  kernel(p, `linear ${rows}x${I}x${O}`, { op: "linear", rows, I, O });
export const softmax = (p: Place, ...shape: number[]): Case[] => kernel(p, `softmax ${shape.join("x")}`, { op: "softmax", shape });
export const gelu = (p: Place, ...shape: number[]): Case[] => kernel(p, `gelu ${shape.join("x")}`, { op: "gelu", shape });
export const layerNorm = (p: Place, rows: number, D: number): Case[] => kernel(p, `layerNorm ${rows}x${D}`, { op: "layerNorm", rows, D });
export const attention = (p: Place, B: number, H: number, N: number, D = 64): Case[] =>
  kernel(p, `attention B${B} H${H} N${N} D${D}`, { op: "attention", B, H, N, D });
export const patchEmbed = (p: Place, B: number, D: number, side = 224, patch = 16): Case[] =>
  kernel(p, `patchEmbed B${B} ${side}x${side} p${patch} D${D}`, { op: "patchEmbed", B, side, patch, D });
export const batchNorm = (p: Place, B: number, C: number, side: number): Case[] =>
  kernel(p, `batchNorm B${B} C${C} ${side}x${side}`, { op: "batchNorm", B, C, side });
export const crossEntropy = (p: Place, B: number, K: number): Case[] => kernel(p, `crossEntropy ${B}x${K}`, { op: "crossEntropy", B, K });

export function conv2d(
  p: Place,
  B: number,
  C: number,
  side: number,
  O: number,
  kernelSide: number,
  o: { stride?: number; padding?: number; groups?: number } = {},
): Case[] {
  const { stride = 1, padding = 0, groups = 1 } = o;
  const name = `conv2d B${B} C${C} ${side}x${side} O${O} k${kernelSide} s${stride} p${padding}${groups > 1 ? ` g${groups}` : ""}`;
  return kernel(p, name, { op: "conv2d", B, C, side, O, kernel: kernelSide, stride, padding, groups });
}

/** An update has no backward. Parameters and both moments are read and written, gradients read. */
export const adamw = ({ sets, quick = false }: Place, n: number): Case[] => [
  {
    name: `adamw ${n}`,
    suite: "kernels",
    dtype: "f32",
    work: { op: "adamw", n, recipe },
    backward: false,
    flops: 0,
    bytes: 4 * 7 * n,
    tolerance: 1e-5,
    reason: "parameters after three steps, elementwise",
    compared: 3,
    sets,
    quick,
  },
];

export function forward(
  { sets, suite = "inference", quick = false }: Place,
  name: string,
  B: number,
  config: DeitConfig | RegNetConfig,
): Case {
  const macs = config.arch === "deit" ? deitMacs(config) : regnetMacs(config, config.imgSize, config.imgSize);
  return {
    name: `forward ${name} B${B}`,
    suite,
    dtype: "f32",
    work: { op: "forward", B, config },
    backward: false,
    flops: 2 * macs * B,
    bytes: 0,
    ...MODEL,
    compared: 1,
    sets,
    quick,
  };
}

/** A step: forward, loss, backward, AdamW. Distils with given teacher logits where the model can. */
export function train({ sets, suite = "train", quick = false }: Place, name: string, B: number, config: DeitConfig): Case {
  const work = {
    op: "train",
    B,
    config,
    recipe: { ...recipe, distillation: config.distilled ? "hard" : "none" },
    decayed: deitParams(config)
      .filter((p) => p.decay)
      .map((p) => p.name),
  } as const;
  return {
    name: `train ${name} B${B}`,
    suite,
    dtype: "f32",
    work,
    backward: true,
    flops: 6 * deitMacs(config) * B,
    bytes: 0,
    ...STEP,
    compared: 4,
    sets,
    quick,
  };
}

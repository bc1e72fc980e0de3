/**
 * What is measured, as data: names that stay, sizes, work, and on which adapters a case is affordable. Who computes it
 * is elsewhere: every contender (`ours.ts`, `tfjs.ts`) gets the same case and the same inputs.
 */
import { Random } from "../engine/random.ts";
import { numel, type Shape } from "../engine/shape.ts";
import { deitConfig, deitMacs, deitParams, type DeitConfig } from "../models/deit.ts";
import { initialState } from "../models/params.ts";

/** One operation or model with its sizes. Letters: B batch, N rows or tokens, D width, H heads; M, K, N in products. */
export type Work =
  | { readonly op: "matmul"; readonly M: number; readonly K: number; readonly N: number }
  | { readonly op: "linear"; readonly rows: number; readonly I: number; readonly O: number }
  | { readonly op: "softmax" | "gelu"; readonly shape: Shape }
  | { readonly op: "layerNorm"; readonly rows: number; readonly D: number }
  | { readonly op: "attention"; readonly B: number; readonly H: number; readonly N: number; readonly D: number }
  | { readonly op: "conv2d"; readonly B: number; readonly C: number; readonly side: number; readonly O: number; readonly kernel: number; readonly stride: number; readonly padding: number }
  | { readonly op: "forward"; readonly B: number; readonly config: DeitConfig }
  | { readonly op: "train"; readonly B: number; readonly config: DeitConfig; readonly recipe: typeof recipe; /** Names of the parameters that weight decay applies to. */ readonly decayed: readonly string[] };

export type Suite = "kernels" | "inference" | "train";

/** "software": affordable where the processor plays the GPU. "gpu": large enough to keep a GPU busy. */
export type Affordable = "software" | "gpu";

export interface Case {
  readonly name: string;
  readonly suite: Suite;
  readonly dtype: "f32";
  readonly work: Work;
  /** The gradient of every input too, for a given upstream gradient. */
  readonly backward: boolean;
  /** Two per multiply-add; the rest is not counted. 0 where memory is all that matters. */
  readonly flops: number;
  /** Inputs and results of each pass, once. 0 for whole models, where it says little. */
  readonly bytes: number;
  /** Largest |a - b| between two contenders, relative to the largest |b| of the same array. */
  readonly tolerance: number;
  /** Runs whose results are compared: a training step's losses have to stay together. */
  readonly compared: number;
  readonly sets: readonly Affordable[];
}

/** A named array in PyTorch's layout: linear weights [O,I], images [B,C,H,W]. */
export interface Input {
  readonly shape: Shape;
  readonly data: Float32Array;
}

export type Inputs = ReadonlyMap<string, Input>;

/** Of the training step: AdamW and hard distillation as in Touvron et al. 2021, table 9, without warm-up. The teacher's answers are given. */
const recipe = { lr: 5e-4, beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0.05, distillation: "hard", alpha: 0.5, labelSmoothing: 0.1 } as const;

const KERNEL_TOLERANCE = 1e-4;
const MODEL_TOLERANCE = 2e-4;
const both: readonly Affordable[] = ["software", "gpu"];

/** Output side of a convolution. */
const convSide = (w: { readonly side: number; readonly kernel: number; readonly stride: number; readonly padding: number }): number =>
  Math.floor((w.side + 2 * w.padding - w.kernel) / w.stride) + 1;

/** A case and its twin with the backward. */
function kernel(sets: readonly Affordable[], name: string, work: Work): Case[] {
  const { flops, bytes, bytesBackward } = costs(work);
  const shared = { suite: "kernels", dtype: "f32", work, tolerance: KERNEL_TOLERANCE, compared: 1, sets } as const;
  return [
    { ...shared, name, backward: false, flops, bytes },
    { ...shared, name: `${name} fwd+bwd`, backward: true, flops: 3 * flops, bytes: bytes + bytesBackward },
  ];
}

const matmul = (sets: readonly Affordable[], M: number, K: number, N: number): Case[] => kernel(sets, `matmul ${M}x${K}x${N}`, { op: "matmul", M, K, N });
const linear = (sets: readonly Affordable[], rows: number, I: number, O: number): Case[] => kernel(sets, `linear ${rows}x${I}x${O}`, { op: "linear", rows, I, O });
const softmax = (sets: readonly Affordable[], ...shape: number[]): Case[] => kernel(sets, `softmax ${shape.join("x")}`, { op: "softmax", shape });
const gelu = (sets: readonly Affordable[], ...shape: number[]): Case[] => kernel(sets, `gelu ${shape.join("x")}`, { op: "gelu", shape });
const layerNorm = (sets: readonly Affordable[], rows: number, D: number): Case[] => kernel(sets, `layerNorm ${rows}x${D}`, { op: "layerNorm", rows, D });
const attention = (sets: readonly Affordable[], B: number, H: number, N: number, D: number): Case[] =>
  kernel(sets, `attention B${B} H${H} N${N} D${D}`, { op: "attention", B, H, N, D });
const conv2d = (sets: readonly Affordable[], w: Omit<Extract<Work, { op: "conv2d" }>, "op">): Case[] =>
  kernel(sets, `conv2d B${w.B} C${w.C} ${w.side}x${w.side} O${w.O} k${w.kernel} s${w.stride} p${w.padding}`, { op: "conv2d", ...w });

function modelCase(op: "forward" | "train", sets: readonly Affordable[], name: string, B: number, config: DeitConfig): Case {
  const train = op === "train";
  const work: Work = train ? { op, B, config, recipe, decayed: deitParams(config).filter((p) => p.decay).map((p) => p.name) } : { op, B, config };
  return {
    name: `${op} ${name} B${B}`, suite: train ? "train" : "inference", dtype: "f32", work, backward: train,
    flops: 2 * deitMacs(config) * B * (train ? 3 : 1), bytes: 0, tolerance: MODEL_TOLERANCE, compared: train ? 4 : 1, sets,
  };
}

const DEIT_TINY = "deit_tiny_distilled_patch16_224";
const tiny = deitConfig(DEIT_TINY)!;
// Small enough for a processor: DeiT-Ti with a quarter of the tokens and a third of the depth, and one for CIFAR's images.
const tiny112 = { ...tiny, imgSize: 112, depth: 4 };
const dim96 = { ...tiny, imgSize: 32, patchSize: 4, dim: 96, depth: 4, numClasses: 10 };

export const cases: readonly Case[] = [
  ...matmul(both, 256, 256, 256),
  ...matmul(both, 197, 192, 768),
  ...matmul(["gpu"], 1024, 1024, 1024),
  ...matmul(["gpu"], 4096, 4096, 4096),
  // A layer of DeiT-Ti: four images, 64 images.
  ...linear(both, 788, 192, 768),
  ...linear(["gpu"], 12608, 192, 768),
  ...linear(["gpu"], 12608, 768, 192),
  ...softmax(both, 12, 197, 197),
  ...softmax(["gpu"], 192, 197, 197),
  ...layerNorm(both, 788, 192),
  ...layerNorm(["gpu"], 12608, 192),
  ...gelu(both, 788, 768),
  ...gelu(["gpu"], 12608, 768),
  ...attention(["software"], 1, 3, 198, 64),
  ...attention(both, 4, 3, 198, 64),
  ...attention(["gpu"], 8, 3, 198, 64),
  ...attention(["gpu"], 64, 3, 198, 64),
  // DeiT's patch embedding, and a convolution of a RegNet.
  ...conv2d(both, { B: 1, C: 3, side: 224, O: 192, kernel: 16, stride: 16, padding: 0 }),
  ...conv2d(["gpu"], { B: 64, C: 3, side: 224, O: 192, kernel: 16, stride: 16, padding: 0 }),
  ...conv2d(both, { B: 1, C: 64, side: 28, O: 64, kernel: 3, stride: 1, padding: 1 }),
  modelCase("forward", ["software"], "deit_dim96_depth4_distilled_patch4_32", 8, dim96),
  modelCase("forward", ["software"], "deit_tiny_depth4_distilled_patch16_112", 1, tiny112),
  modelCase("forward", both, DEIT_TINY, 1, tiny),
  modelCase("forward", ["gpu"], DEIT_TINY, 64, tiny),
  modelCase("train", both, "deit_dim96_depth4_distilled_patch4_32", 8, dim96),
  modelCase("train", both, "deit_tiny_depth4_distilled_patch16_112", 2, tiny112),
  modelCase("train", ["gpu"], DEIT_TINY, 4, tiny),
  modelCase("train", ["gpu"], DEIT_TINY, 32, tiny),
];

function shapesOf(work: Work): { inputs: Readonly<Record<string, Shape>>; y: Shape } {
  switch (work.op) {
    case "matmul": return { inputs: { a: [work.M, work.K], b: [work.K, work.N] }, y: [work.M, work.N] };
    case "linear": return { inputs: { x: [work.rows, work.I], weight: [work.O, work.I], bias: [work.O] }, y: [work.rows, work.O] };
    case "softmax":
    case "gelu": return { inputs: { x: work.shape }, y: work.shape };
    case "layerNorm": return { inputs: { x: [work.rows, work.D], weight: [work.D], bias: [work.D] }, y: [work.rows, work.D] };
    case "attention": {
      const shape = [work.B, work.H, work.N, work.D];
      return { inputs: { q: shape, k: shape, v: shape }, y: shape };
    }
    case "conv2d": {
      const { B, C, side, O, kernel: k } = work;
      return { inputs: { x: [B, C, side, side], weight: [O, C, k, k] }, y: [B, O, convSide(work), convSide(work)] };
    }
    default: {
      const { B, config: c } = work;
      const images = [B, c.inChans, c.imgSize, c.imgSize];
      const perClass = [B, c.numClasses];
      return { inputs: work.op === "train" ? { x: images, target: perClass, teacherLogits: perClass } : { x: images }, y: perClass };
    }
  }
}

function costs(work: Work): { flops: number; bytes: number; bytesBackward: number } {
  const { inputs, y } = shapesOf(work);
  const into = 4 * Object.values(inputs).reduce((n, shape) => n + numel(shape), 0), out = 4 * numel(y);
  const macs = work.op === "matmul" ? work.M * work.K * work.N
    : work.op === "linear" ? work.rows * work.I * work.O
    : work.op === "attention" ? 2 * work.B * work.H * work.N ** 2 * work.D
    : work.op === "conv2d" ? numel(y) * work.C * work.kernel ** 2
    : 0;
  return { flops: 2 * macs, bytes: into + out, bytesBackward: out + 2 * into };
}

/**
 * Values for a case, the same on every call: uniform in [-1, 1), `dy` (the upstream gradient) too; a model's initial
 * parameters under their own names; smoothed labels.
 */
export function inputsOf({ work, backward }: Case): Inputs {
  const { inputs, y } = shapesOf(work);
  const names = Object.entries(inputs);
  const isModel = work.op === "forward" || work.op === "train";
  if (backward && !isModel) names.push(["dy", y]);
  const values = new Map(names.map(([name, shape], stream): [string, Input] => {
    const random = new Random(1, stream);
    const data = new Float32Array(numel(shape));
    for (let i = 0; i < data.length; i++) data[i] = random.uniform(-1, 1);
    return [name, { shape, data }];
  }));
  if (!isModel) return values;
  const target = values.get("target");
  if (target) smoothLabels(target, recipe.labelSmoothing);
  return new Map([...values, ...initialState(deitParams(work.config), 1)]);
}

/** Labels 0, 1, 2, ... as probabilities. */
function smoothLabels({ shape: [B, K], data }: Input, smoothing: number): void {
  data.fill(smoothing / K!);
  for (let b = 0; b < B!; b++) data[b * K! + (b % K!)]! += 1 - smoothing;
}

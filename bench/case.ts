/** What one measurement is: an operation or a model with its sizes, how much work that is, and what it is computed on. */
import { Random } from "../engine/random.ts";
import { numel, type Shape } from "../engine/shape.ts";
import { deitParams, type DeitConfig } from "../models/deit.ts";
import { initialState, type ParamSpec } from "../models/params.ts";
import { regnetParams, type RegNetConfig } from "../models/regnet.ts";

/** AdamW's settings (Touvron et al. 2021, table 9) and the loss of a training step, without warm-up. */
export interface BenchRecipe {
  readonly lr: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly weightDecay: number;
  readonly distillation: "none" | "hard";
  /** The teacher term's weight; its logits are given. */
  readonly alpha: number;
  readonly labelSmoothing: number;
}

/** One operation or model with its sizes. Letters: B batch, N rows or tokens, D width, H heads, K classes; M, K, N in products. */
export type Work =
  | { readonly op: "matmul"; readonly M: number; readonly K: number; readonly N: number }
  | { readonly op: "linear"; readonly rows: number; readonly I: number; readonly O: number }
  | { readonly op: "softmax" | "gelu"; readonly shape: Shape }
  | { readonly op: "layerNorm"; readonly rows: number; readonly D: number }
  | { readonly op: "attention"; readonly B: number; readonly H: number; readonly N: number; readonly D: number }
  | {
      readonly op: "conv2d";
      readonly B: number;
      readonly C: number;
      readonly side: number;
      readonly O: number;
      readonly kernel: number;
      readonly stride: number;
      readonly padding: number;
      readonly groups: number;
    }
  | { readonly op: "patchEmbed"; readonly B: number; readonly side: number; readonly patch: number; readonly D: number }
  | { readonly op: "batchNorm"; readonly B: number; readonly C: number; readonly side: number }
  | { readonly op: "crossEntropy"; readonly B: number; readonly K: number }
  | { readonly op: "adamw"; readonly n: number; readonly recipe: BenchRecipe }
  | { readonly op: "forward"; readonly B: number; readonly config: DeitConfig | RegNetConfig }
  | {
      readonly op: "train";
      readonly B: number;
      readonly config: DeitConfig;
      readonly recipe: BenchRecipe /** Names of the parameters that weight decay applies to. */;
      readonly decayed: readonly string[];
    };

export type ModelWork = Extract<Work, { readonly op: "forward" | "train" }>;
export type TrainWork = Extract<Work, { readonly op: "train" }>;
/** An operation that has a gradient. */
export type KernelWork = Exclude<Work, { readonly op: "forward" | "train" | "adamw" }>;

export type Suite = "kernels" | "inference" | "train" | "scaling";

/** "software": affordable where the processor plays the GPU. "gpu": large enough to keep a GPU busy. "large": on a software adapter, on request. */
export type Affordable = "software" | "gpu" | "large";

/** What kind of adapter measures. */
export type Adapter = Exclude<Affordable, "large">;

export interface Case {
  readonly name: string;
  readonly suite: Suite;
  readonly dtype: "f32";
  readonly work: Work;
  /** The gradient of every floating input too, for a given upstream gradient. */
  readonly backward: boolean;
  /** Two per multiply-add; the rest is not counted. 0 where memory is all that matters. */
  readonly flops: number;
  /** Inputs and results of each pass, once. 0 for whole models, where it says little. */
  readonly bytes: number;
  /** Largest |a - b| between two contenders, relative to the largest |b| of the same array. */
  readonly tolerance: number;
  /** Why this tolerance. */
  readonly reason: string;
  /** Runs whose results are compared: a training step's losses have to stay together. */
  readonly compared: number;
  readonly sets: readonly Affordable[];
  /** Part of `--quick`. */
  readonly quick: boolean;
}

/** A named array in PyTorch's layout: linear weights [O,I], images [B,C,H,W]. */
export interface Input {
  readonly shape: Shape;
  readonly data: Float32Array;
}

export type Inputs = ReadonlyMap<string, Input>;

/** Output side of a convolution. */
export const convSide = (w: {
  readonly side: number;
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
}): number => Math.floor((w.side + 2 * w.padding - w.kernel) / w.stride) + 1;

export const modelParams = (config: ModelWork["config"]): ParamSpec[] =>
  config.arch === "deit" ? deitParams(config) : regnetParams(config);

/** What a gradient is taken of, and the result. */
export function shapesOf(work: Work): { inputs: Readonly<Record<string, Shape>>; y: Shape } {
  switch (work.op) {
    case "matmul":
      return { inputs: { a: [work.M, work.K], b: [work.K, work.N] }, y: [work.M, work.N] };
    case "linear":
      return { inputs: { x: [work.rows, work.I], weight: [work.O, work.I], bias: [work.O] }, y: [work.rows, work.O] };
    case "softmax":
    case "gelu":
      return { inputs: { x: work.shape }, y: work.shape };
    case "layerNorm":
      return { inputs: { x: [work.rows, work.D], weight: [work.D], bias: [work.D] }, y: [work.rows, work.D] };
    case "attention": {
      const shape = [work.B, work.H, work.N, work.D];
      return { inputs: { q: shape, k: shape, v: shape }, y: shape };
    }
    case "conv2d": {
      const { B, C, side, O, kernel: k, groups } = work;
      return { inputs: { x: [B, C, side, side], weight: [O, C / groups, k, k] }, y: [B, O, convSide(work), convSide(work)] };
    }
    case "patchEmbed": {
      const { B, side, patch, D } = work;
      return { inputs: { x: [B, 3, side, side], weight: [D, 3, patch, patch], bias: [D] }, y: [B, (side / patch) ** 2, D] };
    }
    case "batchNorm":
      return {
        inputs: { x: [work.B, work.C, work.side, work.side], weight: [work.C], bias: [work.C] },
        y: [work.B, work.C, work.side, work.side],
      };
    case "crossEntropy":
      return { inputs: { logits: [work.B, work.K] }, y: [] };
    case "adamw":
      return { inputs: { params: [work.n], grads: [work.n] }, y: [work.n] };
    case "forward":
    case "train": {
      const { B, config: c } = work;
      const images = [B, c.arch === "deit" ? c.inChans : 3, c.imgSize, c.imgSize];
      const perClass = [B, c.numClasses];
      const inputs =
        work.op === "forward"
          ? { x: images }
          : work.recipe.distillation === "none"
            ? { x: images, target: perClass }
            : { x: images, target: perClass, teacherLogits: perClass };
      return { inputs, y: perClass };
    }
  }
}

/** Multiply-adds count two; a convolution's and a product's backward is two more of them. Memory: every array once per pass. */
export function costs(work: KernelWork): { flops: number; bytes: number; bytesBackward: number } {
  const { inputs, y } = shapesOf(work);
  const into = 4 * Object.values(inputs).reduce((n, shape) => n + numel(shape), 0),
    out = 4 * numel(y);
  const macs =
    work.op === "matmul"
      ? work.M * work.K * work.N
      : work.op === "linear"
        ? work.rows * work.I * work.O
        : work.op === "attention"
          ? 2 * work.B * work.H * work.N ** 2 * work.D
          : work.op === "conv2d"
            ? (numel(y) * work.C * work.kernel ** 2) / work.groups
            : work.op === "patchEmbed"
              ? numel(y) * 3 * work.patch ** 2
              : 0;
  // Labels are read in both passes and have no gradient.
  const labels = work.op === "crossEntropy" ? 4 * work.B * work.K : 0;
  return { flops: 2 * macs, bytes: into + labels + out, bytesBackward: out + 2 * into + labels };
}

/**
 * Values for a case, the same on every call: uniform in [-1, 1), `dy` (the upstream gradient) too; a model's initial
 * parameters under their own names; smoothed labels.
 */
export function inputsOf({ work, backward }: Case): Inputs {
  const { inputs, y } = shapesOf(work);
  const names = Object.entries(inputs);
  const isModel = work.op === "forward" || work.op === "train";
  if (work.op === "crossEntropy") names.push(["target", [work.B, work.K]]);
  if (backward && !isModel) names.push(["dy", y]);
  const values = new Map(
    names.map(([name, shape], stream): [string, Input] => {
      const random = new Random(1, stream);
      const data = new Float32Array(numel(shape));
      for (let i = 0; i < data.length; i++) data[i] = random.uniform(-1, 1);
      return [name, { shape, data }];
    }),
  );
  const target = values.get("target");
  if (target) smoothLabels(target, work.op === "train" ? work.recipe.labelSmoothing : 0.1);
  return isModel ? new Map([...values, ...stirred(modelParams(work.config))]) : values;
}

/** Initial parameters; norms that start as zeros get values, so that no branch of a RegNet is switched off. */
function stirred(specs: readonly ParamSpec[]): Inputs {
  const state = initialState(specs, 1);
  for (const [name, { data }] of state) if (/\.bn\.weight$/.test(name)) data.fill(0.5);
  return state;
}

/** Labels 0, 1, 2, ... as probabilities. */
function smoothLabels({ shape: [B, K], data }: Input, smoothing: number): void {
  data.fill(smoothing / K!);
  for (let b = 0; b < B!; b++) data[b * K! + (b % K!)]! += 1 - smoothing;
}

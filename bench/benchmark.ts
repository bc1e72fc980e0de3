/** What one measurement is: an operation, an update or a model with its sizes, how much work that is, and what it is computed on. */
import { ops } from "../checks/catalog.ts";
import { uniform } from "../checks/check.ts";
import { valuesOf } from "../checks/op-problem.ts";
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

/** An operation of checks/catalog.ts on one shape. */
export interface KernelWork {
  readonly op: string;
  /** As `tune --shape` takes them, "788x192"; and by letter. */
  readonly sizes: string;
  readonly n: Readonly<Record<string, number>>;
  readonly attrs: Readonly<Record<string, unknown>>;
  /** What a gradient is taken of, and the result. */
  readonly inputs: Readonly<Record<string, Shape>>;
  readonly y: Shape;
}

/** What is computed. Only an operation has `sizes`. */
export type Work =
  | KernelWork
  | { readonly op: "adamw"; readonly count: number; readonly recipe: BenchRecipe }
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
export type Suite = "kernels" | "inference" | "train" | "scaling";

/**
 * "software": affordable where the processor plays the GPU. "gpu": large enough to keep a GPU busy. "large": on a software adapter, on
 * request.
 */
export type Affordable = "software" | "gpu" | "large";

/** What kind of adapter measures. */
export type Adapter = Exclude<Affordable, "large">;

export interface Benchmark {
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

export const modelParams = (config: ModelWork["config"]): ParamSpec[] =>
  config.arch === "deit" ? deitParams(config) : regnetParams(config);

/** What a gradient is taken of, and the result. B: images, K: classes. */
export function shapesOf(work: Work): { inputs: Readonly<Record<string, Shape>>; y: Shape } {
  if ("sizes" in work) return work;
  if (work.op === "adamw") return { inputs: { params: [work.count], grads: [work.count] }, y: [work.count] };
  const { B, config: c } = work;
  const x = [B, c.arch === "deit" ? c.inChans : 3, c.imgSize, c.imgSize];
  const y = [B, c.numClasses];
  if (work.op === "forward") return { inputs: { x }, y };
  return { inputs: work.recipe.distillation === "none" ? { x, target: y } : { x, target: y, teacherLogits: y }, y };
}

/**
 * Values for a case, the same on every call: an operation's own (checks/op-problem.ts), and `dy`, the upstream gradient; a model's images
 * and its initial parameters under their own names; smoothed labels.
 */
export function inputsOf({ work, backward }: Benchmark): Inputs {
  const { inputs, y } = shapesOf(work);
  if ("sizes" in work) {
    const values = Object.entries(valuesOf(ops[work.op]!, work)).filter(([name]) => !ops[work.op]!.inputs[name]!.buffer);
    const dy: [string, Float64Array][] = backward ? [["dy", uniform(numel(y), 100)]] : [];
    return new Map([...values, ...dy].map(([name, data]) => [name, { shape: inputs[name] ?? y, data: Float32Array.from(data) }]));
  }
  const values = new Map(
    Object.entries(inputs).map(([name, shape], i): [string, Input] => [
      name,
      { shape, data: Float32Array.from(uniform(numel(shape), i + 1)) },
    ]),
  );
  if (work.op === "train") smoothLabels(values.get("target")!, work.recipe.labelSmoothing);
  return work.op === "adamw" ? values : new Map([...values, ...stirred(modelParams(work.config))]);
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

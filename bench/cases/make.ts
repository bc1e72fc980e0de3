/** Cases from sizes: names, work and tolerances. Names stay as they are once results have been published under them. */
import { deitMacs, deitParams, type DeitConfig } from "../../models/deit.ts";
import { headTokens } from "../../models/deit-config.ts";
import { regnetMacs, type RegNetConfig } from "../../models/regnet.ts";
import { differentiable, type Op } from "../../checks/op.ts";
import type { Affordable, BenchRecipe, Benchmark, Suite } from "../benchmark.ts";

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

/** An operation of the catalog on one shape, and the same with its backward where it has one. */
export function kernel(
  { sets, suite = "kernels", quick = false }: Place,
  op: Op,
  sizes: string,
  attrs?: Readonly<Record<string, unknown>>,
): Benchmark[] {
  const { name, flops, bytes, bytesBackward, ...sized } = op.problem(sizes, attrs);
  const shared = { suite, dtype: "f32", work: { op: op.name, sizes, ...sized }, ...KERNEL, compared: 1, sets, quick } as const;
  const forward: Benchmark = { ...shared, name, backward: false, flops, bytes };
  if (differentiable(op).length === 0) return [forward];
  return [forward, { ...shared, name: `${name} fwd+bwd`, backward: true, flops: 3 * flops, bytes: bytes + bytesBackward }];
}

/** An update has no backward. Parameters and both moments are read and written, gradients read. */
export const adamw = ({ sets, quick = false }: Place, n: number): Benchmark[] => [
  {
    name: `adamw ${n}`,
    suite: "kernels",
    dtype: "f32",
    work: { op: "adamw", count: n, recipe },
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
): Benchmark {
  const macs = config.arch === "deit" ? deitMacs(config, headTokens(config)) : regnetMacs(config, config.imgSize, config.imgSize);
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
export function train({ sets, suite = "train", quick = false }: Place, name: string, B: number, config: DeitConfig): Benchmark {
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
    flops: 6 * deitMacs(config, headTokens(config)) * B,
    bytes: 0,
    ...STEP,
    compared: 4,
    sets,
    quick,
  };
}

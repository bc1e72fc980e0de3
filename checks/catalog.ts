/** The operations of the command `op`: what each takes, what it gives, and how to call it. */
import { z } from "zod";
import { constant, Scalars } from "../engine/scalars.ts";
import { show } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";
import { attention, ATTENTION_VARIANTS } from "../kernels/attention.ts";
import { batchNorm, BATCH_NORM_VARIANTS } from "../kernels/batch-norm.ts";
import { conv2d } from "../kernels/conv2d.ts";
import { crossEntropy } from "../kernels/cross-entropy.ts";
import { add, gelu, mul, relu, sigmoid } from "../kernels/elementwise.ts";
import { TILES, type GemmVariant } from "../kernels/gemm/tiles.ts";
import { globalAvgPool } from "../kernels/global-avg-pool.ts";
import { klDistillation } from "../kernels/kl-distillation.ts";
import { layerNorm } from "../kernels/layer-norm.ts";
import { linear } from "../kernels/linear.ts";
import { matmul } from "../kernels/matmul.ts";
import { cutmix, mixup } from "../kernels/mix.ts";
import { resizeBicubic } from "../kernels/augment/resize-bicubic.ts";
import { resizePosEmbed } from "../kernels/resize-pos-embed.ts";
import { ROW_VARIANTS } from "../kernels/rows/rows.ts";
import { logSoftmax, softmax } from "../kernels/softmax.ts";

export interface Input {
  readonly shape: string;
  readonly optional?: boolean;
  /** Class numbers (I64 or I32) along the last axis of the input named here. */
  readonly classesOf?: string;
  /** U8. Everything else is F32. */
  readonly bytes?: boolean;
  /** Read, but no gradient flows to it: running statistics. */
  readonly buffer?: boolean;
}

export interface Attr<T = unknown> {
  readonly schema: z.ZodType<T>;
  /** What a value must be, for people. */
  readonly says: string;
  /** What stands for a value that is not given; without one, the attribute must be given. */
  readonly fallback?: { readonly value: T; readonly says: string };
}

export interface OpEntry {
  readonly inputs: Readonly<Record<string, Input>>;
  /** Output names and shapes, for people. */
  readonly outputs: string;
  readonly attrs: Readonly<Record<string, Attr>>;
  /** Kinds of kernels to choose from with --variant. */
  readonly variants: readonly string[];
  /** `y` first, further outputs after it. */
  run(
    inputs: Readonly<Record<string, Tensor>>,
    attrs: Readonly<Record<string, unknown>>,
    variant: string | undefined,
  ): Readonly<Record<string, Tensor>>;
}

interface Written<I extends string, A, V extends string> {
  readonly inputs: Readonly<Record<I, string | Input>>;
  readonly outputs: string;
  readonly attrs?: { readonly [K in keyof A]: Attr<A[K]> };
  readonly variants?: readonly V[];
  run(inputs: Readonly<Record<I, Tensor>>, attrs: A, variant: V | undefined): Tensor | Readonly<Record<string, Tensor>>;
}

function op<const I extends string, A = Record<never, never>, const V extends string = never>(e: Written<I, A, V>): OpEntry {
  const inputs = Object.entries<string | Input>(e.inputs).map(
    ([name, input]) => [name, typeof input === "string" ? { shape: input } : input] as const,
  );
  return {
    inputs: Object.fromEntries(inputs),
    outputs: e.outputs,
    attrs: (e.attrs ?? {}) as Readonly<Record<string, Attr>>,
    variants: e.variants ?? [],
    run(given, attrs, variant) {
      const y = e.run(given as Readonly<Record<I, Tensor>>, attrs as A, variant as V | undefined);
      return "storage" in y ? { y: y as Tensor } : y;
    },
  };
}

const attr = <T>(schema: z.ZodType<T>, says: string, ...fallback: [] | [value: T, says?: string]): Attr<T> =>
  fallback.length === 0
    ? { schema, says }
    : { schema, says, fallback: { value: fallback[0], says: fallback[1] ?? JSON.stringify(fallback[0]) } };

const flag = attr(z.boolean(), "true or false", false);
const fraction = z.number().min(0).max(1);
const positive = z.number().positive();
const size = attr(z.int().positive(), "a positive integer");

const optional = (shape: string): Input => ({ shape, optional: true });
const buffer = (shape: string): Input => ({ shape, buffer: true });

const GEMM_VARIANTS: readonly GemmVariant[] = ["register", "subgroup", "shared", ...(Object.keys(TILES) as (keyof typeof TILES)[])];

export const ops: Readonly<Record<string, OpEntry>> = {
  matmul: op({
    inputs: { a: "[..,M,K]", b: "[..,K,N]" },
    outputs: "y [..,M,N]",
    attrs: { transposeA: flag, transposeB: flag },
    variants: GEMM_VARIANTS,
    run: ({ a, b }, attrs, variant) => matmul(a, b, { ...attrs, variant }),
  }),
  linear: op({
    inputs: { x: "[..,I]", weight: "[O,I]", bias: optional("[O]") },
    outputs: "y [..,O]",
    attrs: { activation: attr<"none" | "gelu">(z.enum(["none", "gelu"]), '"none" or "gelu"', "none") },
    variants: GEMM_VARIANTS,
    run: ({ x, weight, bias }, attrs, variant) => linear(x, weight, bias ?? null, { ...attrs, variant }),
  }),
  softmax: op({
    inputs: { x: "[..,N]" },
    outputs: "y [..,N]",
    variants: ROW_VARIANTS,
    run: ({ x }, _, variant) => softmax(x, variant ? { variant } : {}),
  }),
  logSoftmax: op({
    inputs: { x: "[..,N]" },
    outputs: "y [..,N]",
    variants: ROW_VARIANTS,
    run: ({ x }, _, variant) => logSoftmax(x, variant ? { variant } : {}),
  }),
  layerNorm: op({
    inputs: { x: "[..,D]", weight: "[D]", bias: "[D]" },
    outputs: "y [..,D]",
    attrs: { eps: attr(positive, "a positive number", 1e-6) },
    variants: ROW_VARIANTS,
    run: ({ x, weight, bias }, attrs, variant) => layerNorm(x, weight, bias, { ...attrs, ...(variant ? { variant } : {}) }),
  }),
  attention: op({
    inputs: { q: "[B,H,N,D]", k: "[B,H,M,D]", v: "[B,H,M,D]" },
    outputs: "y [B,H,N,D]",
    attrs: { scale: attr(z.number().optional(), "a number", undefined, "D^-1/2") },
    variants: ATTENTION_VARIANTS,
    run: ({ q, k, v }, { scale }, variant) =>
      attention(q, k, v, { ...(scale === undefined ? {} : { scale }), ...(variant ? { variant } : {}) }),
  }),
  gelu: op({ inputs: { x: "[..]" }, outputs: "y [..]", run: ({ x }) => gelu(x) }),
  relu: op({ inputs: { x: "[..]" }, outputs: "y [..]", run: ({ x }) => relu(x) }),
  sigmoid: op({ inputs: { x: "[..]" }, outputs: "y [..]", run: ({ x }) => sigmoid(x) }),
  add: op({ inputs: { x: "[..]", b: "[..] that broadcasts" }, outputs: "y [..]", run: ({ x, b }) => add(x, b) }),
  mul: op({ inputs: { x: "[..]", b: "[..] that broadcasts" }, outputs: "y [..]", run: ({ x, b }) => mul(x, b) }),
  conv2d: op({
    inputs: { x: "[B,C,H,W]", weight: "[O,C/groups,kh,kw]", bias: optional("[O]") },
    outputs: "y [B,O,H',W']",
    attrs: {
      stride: attr(z.int().positive(), "a positive integer", 1),
      padding: attr(z.int().min(0), "an integer from 0 on", 0),
      groups: attr(z.int().positive(), "a positive integer", 1),
    },
    run: ({ x, weight, bias }, attrs) => conv2d(x, weight, bias ?? null, attrs),
  }),
  batchNorm: op({
    inputs: { x: "[B,C,H,W]", weight: "[C]", bias: "[C]", runningMean: buffer("[C]"), runningVar: buffer("[C]") },
    outputs: "y [B,C,H,W]; runningMean, runningVar [C] when training",
    attrs: { training: flag, eps: attr(positive, "a positive number", 1e-5), momentum: attr(fraction, "a number in [0, 1]", 0.1) },
    variants: BATCH_NORM_VARIANTS,
    run({ x, weight, bias, runningMean, runningVar }, attrs, variant) {
      const y = batchNorm(x, weight, bias, runningMean, runningVar, { ...attrs, ...(variant ? { variant } : {}) });
      return attrs.training ? { y, runningMean, runningVar } : y;
    },
  }),
  globalAvgPool: op({ inputs: { x: "[B,C,H,W]" }, outputs: "y [B,C]", run: ({ x }) => globalAvgPool(x) }),
  crossEntropy: op({
    inputs: {
      logits: "[B,K]",
      target: { shape: "[B,K] probabilities, or", optional: true },
      labels: { shape: "[B]", optional: true, classesOf: "logits" },
    },
    outputs: "y [] (mean over the batch)",
    attrs: { labelSmoothing: attr(fraction, "a number in [0, 1]", 0) },
    variants: ROW_VARIANTS,
    run({ logits, target, labels }, { labelSmoothing }, variant) {
      if (!target === !labels) throw new Error(`crossEntropy: expected either target or labels, got ${target ? "both" : "neither"}`);
      return crossEntropy(logits, target ?? labels!, { labelSmoothing, ...(variant ? { variant } : {}) });
    },
  }),
  klDistillation: op({
    inputs: { student: "[B,K]", teacher: "[B,K]" },
    outputs: "y []",
    attrs: {
      tau: attr(positive, "a positive number", 1),
      reduction: attr<"numel" | "batchmean">(z.enum(["numel", "batchmean"]), '"numel" or "batchmean"', "numel"),
    },
    variants: ROW_VARIANTS,
    run: ({ student, teacher }, attrs, variant) => klDistillation(student, teacher, { ...attrs, ...(variant ? { variant } : {}) }),
  }),
  mixup: op({
    inputs: { x: "[B,C,H,W]" },
    outputs: "y [B,C,H,W], each image mixed with its partner in the reversed batch",
    attrs: { lam: attr(fraction, "a number in [0, 1]") },
    run: ({ x }, { lam }) => mixup(x, { lam: constant(lam) }),
  }),
  cutmix: op({
    inputs: { x: "[B,C,H,W]" },
    outputs: "y [B,C,H,W], the box from the partner in the reversed batch",
    attrs: { box: attr(z.tuple([z.int().min(0), z.int().min(0), z.int().min(0), z.int().min(0)]), "[y0, y1, x0, x1], integers from 0 on") },
    run({ x }, { box: [y0, y1, x0, x1] }) {
      const [, , H = 0, W = 0] = x.shape;
      if (y0 > y1 || y1 > H || x0 > x1 || x1 > W)
        throw new Error(`cutmix: expected a box within ${H} x ${W}, got [${[y0, y1, x0, x1]}] for x ${show(x.shape)}`);
      const scalars = new Scalars({ y0: "u32", y1: "u32", x0: "u32", x1: "u32" });
      scalars.set({ y0, y1, x0, x1 });
      return cutmix(x, { box: scalars.at("y0") });
    },
  }),
  resizeBicubic: op({
    inputs: { x: { shape: "[H,W,C]", bytes: true } },
    outputs: "y [height,width,C] U8, Pillow's arithmetic",
    attrs: { height: size, width: size },
    run: ({ x }, attrs) => resizeBicubic(x, attrs),
  }),
  resizePosEmbed: op({
    inputs: { x: "[1,N,D]" },
    outputs: "y [1,prefix+height*width,D]",
    attrs: { prefix: attr(z.union([z.literal(1), z.literal(2)]), "1 or 2"), height: size, width: size },
    run: ({ x }, attrs) => resizePosEmbed(x, attrs),
  }),
};

/** One line per operation: `name: inputs -> outputs; attrs with defaults; variants`. */
export function describeOps(): string {
  return Object.entries(ops)
    .map(([name, { inputs, outputs, attrs, variants }]) => {
      const takes = Object.entries(inputs).map(
        ([input, { shape, optional: may, classesOf, bytes, buffer: still }]) =>
          `${input}${may ? "?" : ""} ${shape}${classesOf ? " I64 or I32" : bytes ? " U8" : ""}${still ? " (no gradient)" : ""}`,
      );
      const settings = Object.entries(attrs).map(
        ([key, { says, fallback }]) => `  ${key}: ${says}${fallback ? ` (default ${fallback.says})` : ""}`,
      );
      return [
        `${name}: ${takes.join(", ")} -> ${outputs}`,
        ...settings,
        ...(variants.length > 0 ? [`  variants: ${variants.join(", ")}`] : []),
      ].join("\n");
    })
    .join("\n");
}

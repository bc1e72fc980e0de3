/** What the step `rows` measures: operations that memory bounds, at sizes of 100 MB and more, and the names of their variants. */
import { constant, type Scalar } from "../../kernels/shared/scalars.ts";
import { numel, type Shape } from "../../engine/shape.ts";
import { Tensor } from "../../engine/tensor.ts";
import { adamwStep } from "../../kernels/optim/adamw.ts";
import { batchNorm, type BatchNormVariant } from "../../kernels/batch-norm.ts";
import { activationBackwardSums, columnSums } from "../../kernels/shared/column-sums.ts";
import { crossEntropy } from "../../kernels/cross-entropy.ts";
import { dropPath } from "../../kernels/drop-path.ts";
import { dropout } from "../../kernels/dropout.ts";
import { add, gelu } from "../../kernels/elementwise.ts";
import { emaStep } from "../../kernels/optim/ema.ts";
import { gradNorm } from "../../kernels/optim/grad-norm.ts";
import { klDistillation } from "../../kernels/kl-distillation.ts";
import { layerNorm } from "../../kernels/layer-norm.ts";
import { rowVariant, rowVariants, type RowVariant } from "../../kernels/rows/variants.ts";
import { logSoftmax, softmax } from "../../kernels/softmax.ts";

export type Tensors = Readonly<Record<string, Tensor>>;

export interface RowProblem {
  readonly name: string;
  /** Of inputs and results of the forward, or of the update; once each. */
  readonly bytes: number;
  readonly bytesBackward: number;
  /** Filled with uniform values, [-1, 1) unless `range` says otherwise; `dy` is the upstream gradient. */
  readonly inputs: Readonly<Record<string, Shape>>;
  readonly range?: Readonly<Record<string, readonly [number, number]>>;
  /** u32, as the tensor `labels`. */
  readonly labels?: { readonly rows: number; readonly classes: number };
  /** Inputs whose gradients the backward is timed for; `null`: an update, in place. */
  readonly wanted: readonly string[] | null;
  /** What runs by default first. */
  readonly variants: readonly string[];
  readonly run: (t: Tensors, variant: string) => readonly Tensor[];
}

const DEFAULT = "default";
const bytesOf = (...shapes: readonly Shape[]): number => shapes.reduce((n, shape) => n + 4 * numel(shape), 0);

const row = (variant: string) => ({ variant: variant as RowVariant });

/** What runs by default, teams of half and of twice its size, the same without subgroups, and a workgroup per row. */
function gpuRows(rows: number, D: number): string[] {
  const usual = rowVariant("", { shape: [rows, D], size: rows * D });
  const T = Number(/\d+$/.exec(usual)?.[0] ?? 32);
  const wanted: readonly string[] = [usual, `team${T / 2}`, `team${2 * T}`, `barrier${T}`, "shared"];
  return wanted.filter((v) => (rowVariants(D) as readonly string[]).includes(v));
}

const norm = (rows: number, D: number): RowProblem => ({
  name: `layerNorm ${rows}x${D}`,
  bytes: bytesOf([rows, D], [rows, D], [D], [D]),
  bytesBackward: bytesOf([rows, D], [rows, D], [rows, D], [D], [D], [D], [D]),
  inputs: { x: [rows, D], weight: [D], bias: [D], dy: [rows, D] },
  wanted: ["x", "weight", "bias"],
  variants: gpuRows(rows, D),
  run: (t, v) => [layerNorm(t["x"]!, t["weight"]!, t["bias"]!, row(v))],
});

const soft = (name: "softmax" | "logSoftmax", rows: number, D: number): RowProblem => ({
  name: `${name} ${rows}x${D}`,
  bytes: bytesOf([rows, D], [rows, D]),
  bytesBackward: bytesOf([rows, D], [rows, D], [rows, D]),
  inputs: { x: [rows, D], dy: [rows, D] },
  wanted: ["x"],
  variants: gpuRows(rows, D),
  run: (t, v) => [(name === "softmax" ? softmax : logSoftmax)(t["x"]!, row(v))],
});

const entropy = (B: number, K: number, soft: boolean): RowProblem => ({
  name: `crossEntropy ${soft ? "" : "of labels "}${B}x${K}`,
  bytes: bytesOf([B, K], soft ? [B, K] : [B]),
  bytesBackward: bytesOf([B, K], soft ? [B, K] : [B], [B, K]),
  inputs: { logits: [B, K], ...(soft ? { target: [B, K] } : {}) },
  range: { target: [0, 2 / K] },
  ...(soft ? {} : { labels: { rows: B, classes: K } }),
  wanted: ["logits"],
  variants: gpuRows(B, K),
  run: (t, v) => [crossEntropy(t["logits"]!, soft ? t["target"]! : t["labels"]!, { labelSmoothing: 0.1, ...row(v) })],
});

const distillation = (B: number, K: number): RowProblem => ({
  name: `klDistillation ${B}x${K}`,
  bytes: bytesOf([B, K], [B, K]),
  bytesBackward: bytesOf([B, K], [B, K], [B, K]),
  inputs: { student: [B, K], teacher: [B, K] },
  wanted: ["student"],
  variants: gpuRows(B, K),
  run: (t, v) => [klDistillation(t["student"]!, t["teacher"]!, { tau: 3, ...row(v) })],
});

const batches = (B: number, C: number, side: number): RowProblem => {
  const x = [B, C, side, side];
  return {
    name: `batchNorm ${x.join("x")}`,
    bytes: bytesOf(x, x),
    bytesBackward: bytesOf(x, x, x),
    inputs: { x, weight: [C], bias: [C], mean: [C], variance: [C], dy: x },
    range: { variance: [0.5, 1] },
    wanted: ["x", "weight", "bias"],
    variants: ["once", "shared"],
    run: (t, v) => [
      batchNorm(t["x"]!, t["weight"]!, t["bias"]!, t["mean"]!, t["variance"]!, { training: true, variant: v as BatchNormVariant }),
    ],
  };
};

const each = (name: string, shape: Shape, inputs: readonly string[], run: (t: Tensors) => Tensor, backward: number): RowProblem => ({
  name: `${name} ${shape.join("x")}`,
  bytes: (inputs.length + 1) * bytesOf(shape),
  bytesBackward: backward * bytesOf(shape),
  inputs: Object.fromEntries([...inputs, "dy"].map((input) => [input, shape])),
  wanted: backward === 0 ? [] : inputs,
  variants: [DEFAULT],
  run: (t) => [run(t)],
});

const draws = (): { seed: Scalar; step: Scalar } => ({ seed: constant(1, "u32"), step: constant(2, "u32") });

const sums = (rows: number, D: number): RowProblem => ({
  name: `columnSums ${rows}x${D}`,
  bytes: bytesOf([rows, D]),
  bytesBackward: 0,
  inputs: { x: [rows, D] },
  wanted: [],
  variants: [DEFAULT],
  run: (t) => [columnSums(t["x"]!, D)],
});

const geluSums = (rows: number, D: number): RowProblem => ({
  name: `geluBackwardSums ${rows}x${D}`,
  bytes: 3 * bytesOf([rows, D]),
  bytesBackward: 0,
  inputs: { dy: [rows, D], u: [rows, D] },
  wanted: [],
  variants: [DEFAULT],
  run: (t) => Object.values(activationBackwardSums("gelu", t["dy"]!, t["u"]!, D)),
});

const update = (n: number, ema: boolean): RowProblem => {
  const scalars = Tensor.from(new Uint32Array(new Float32Array([1e-3, 0.1, 0.001, 0.99]).buffer), [4], "u32");
  const at = (i: number): Scalar => ({ tensor: scalars, at: i });
  return {
    name: `adamw${ema ? " and ema" : ""} ${n}`,
    bytes: 4 * n * (ema ? 9 : 7),
    bytesBackward: 0,
    inputs: { params: [n], grads: [n], m: [n], v: [n], ...(ema ? { ema: [n] } : {}) },
    range: { v: [0, 1] },
    wanted: null,
    variants: ema ? ["one launch", "two launches"] : [DEFAULT],
    run: (t, variant) => {
      const { params, grads, m, v } = t as Record<"params" | "grads" | "m" | "v", Tensor>;
      const one = variant === "one launch";
      adamwStep(
        { params, grads, m, v, ...(one ? { ema: t["ema"]! } : {}) },
        { decayed: n, lr: at(0), bias1: at(1), bias2: at(2), weightDecay: 0.05, ...(one ? { emaDecay: at(3) } : {}) },
      );
      if (ema && !one) emaStep({ ema: t["ema"]!, params }, { decay: at(3) });
      return [params, m, v, ...(ema ? [t["ema"]!] : [])];
    },
  };
};

const gradientNorm = (n: number): RowProblem => ({
  name: `gradNorm ${n}`,
  bytes: 4 * n,
  bytesBackward: 0,
  inputs: { x: [n] },
  wanted: [],
  variants: [DEFAULT],
  run: (t) => [gradNorm(t["x"]!)],
});

export function rowProblems(smoke: boolean): RowProblem[] {
  const some = (n: number): number => (smoke ? Math.ceil(n / 512) : n);
  const n = smoke ? ((87338192 / 16 / 512) * 4) & ~3 : 87338192;
  return [
    norm(some(50432), 768),
    norm(some(201728), 192),
    norm(some(100864), 384),
    soft("softmax", some(151296), 197),
    soft("softmax", some(151296), 198),
    soft("softmax", some(73856), 577),
    soft("logSoftmax", some(32768), 1000),
    entropy(some(32768), 1000, true),
    entropy(some(32768), 1000, false),
    distillation(some(32768), 1000),
    batches(smoke ? 2 : 64, 208, smoke ? 14 : 56),
    batches(smoke ? 2 : 256, 888, smoke ? 4 : 14),
    each("gelu", [some(12608), 3072], ["x"], (t) => gelu(t["x"]!), 3),
    each("add", [some(12608), 3072], ["a", "b"], (t) => add(t["a"]!, t["b"]!), 0),
    each("dropout", [some(12608), 3072], ["x"], (t) => dropout(t["x"]!, { rate: 0.1, ...draws(), stream: 3 }), 2),
    each("dropPath", [some(12608), 3072], ["x"], (t) => dropPath(t["x"]!, { rate: 0.1, ...draws(), stream: 3 }), 2),
    sums(some(50432), 768),
    geluSums(some(12608), 3072),
    update(n, false),
    update(n, true),
    gradientNorm(n),
  ];
}

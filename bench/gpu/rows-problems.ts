/**
 * What the step `rows` measures: operations that memory bounds, at sizes of 100 MB and more, with the variants worth comparing. Operations
 * of checks/catalog.ts come from there; kernels that no operation of the catalog is (sums of columns, dropout, updates) follow by hand.
 */
import { ops } from "../../checks/catalog.ts";
import { differentiable } from "../../checks/op.ts";
import { numel, type Shape } from "../../engine/shape.ts";
import { Tensor } from "../../engine/tensor.ts";
import { dropPath } from "../../kernels/drop-path.ts";
import { dropout } from "../../kernels/dropout.ts";
import { adamwStep } from "../../kernels/optim/adamw.ts";
import { emaStep } from "../../kernels/optim/ema.ts";
import { gradNorm } from "../../kernels/optim/grad-norm.ts";
import { rowVariant, rowVariants } from "../../kernels/rows/variants.ts";
import { activationBackwardSums, columnSums } from "../../kernels/shared/column-sums.ts";
import { constant, type Scalar } from "../../kernels/shared/scalars.ts";

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

/** What runs by default, teams of half and of twice its size, the same without subgroups, and a workgroup per row. */
function gpuRows(rows: number, D: number): string[] {
  const usual = rowVariant("", { shape: [rows, D], size: rows * D });
  const T = Number(/\d+$/.exec(usual)?.[0] ?? 32);
  const wanted: readonly string[] = [usual, `team${T / 2}`, `team${2 * T}`, `barrier${T}`, "shared"];
  return wanted.filter((v) => (rowVariants(D) as readonly string[]).includes(v));
}

interface Posed {
  readonly attrs?: Readonly<Record<string, unknown>>;
  /** All that have a gradient, unless given. */
  readonly wanted?: readonly string[];
  /** Row kernels, if the operation has any, unless given. */
  readonly variants?: readonly string[];
  /** Labels of `classes` classes in place of the input `of`. */
  readonly labels?: { readonly of: string; readonly classes: number };
}

/** An operation of the catalog at these sizes. */
function posed(name: string, sizes: string, { attrs, labels, ...given }: Posed = {}): RowProblem {
  const op = ops[name]!;
  const problem = op.problem(sizes, attrs);
  const inputs = Object.fromEntries(Object.entries(problem.inputs).filter(([key]) => key !== labels?.of));
  const [[rows = 1, D = 1] = []] = Object.values(inputs);
  const { wanted = differentiable(op).filter((key) => key in inputs), variants = op.tuned ? gpuRows(rows, D) : [DEFAULT] } = given;
  const read = Object.keys(inputs).flatMap((key) => (op.inputs[key]!.buffer ? [] : [inputs[key]!]));
  if (labels) read.push([rows]);
  const ranges = Object.entries(inputs).flatMap(([key, shape]): [string, readonly [number, number]][] => {
    const { probabilities, buffer } = op.inputs[key]!;
    return probabilities ? [[key, [0, 2 / shape.at(-1)!]]] : buffer ? [[key, [0.5, 1]]] : [];
  });
  return {
    name: `${name} ${labels ? "of labels " : ""}${sizes}`,
    bytes: bytesOf(...read, problem.y),
    bytesBackward: bytesOf(...read, problem.y, ...wanted.map((key) => inputs[key]!)),
    inputs: { ...inputs, dy: problem.y },
    range: Object.fromEntries(ranges),
    ...(labels ? { labels: { rows, classes: labels.classes } } : {}),
    wanted,
    variants,
    run: (t, variant) => [op.run(t, problem.attrs, variant === DEFAULT ? undefined : variant)["y"]!],
  };
}

/** Dropout of a kind; its backward draws the same numbers again. */
const dropped = (name: string, shape: Shape, run: (x: Tensor) => Tensor): RowProblem => ({
  name: `${name} ${shape.join("x")}`,
  bytes: 2 * bytesOf(shape),
  bytesBackward: 2 * bytesOf(shape),
  inputs: { x: shape, dy: shape },
  wanted: ["x"],
  variants: [DEFAULT],
  run: ({ x }) => [run(x!)],
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
  run: (t) => [gradNorm([t["x"]!])],
});

export function rowProblems(smoke: boolean): RowProblem[] {
  const some = (n: number): number => (smoke ? Math.ceil(n / 512) : n);
  const n = smoke ? ((87338192 / 16 / 512) * 4) & ~3 : 87338192;
  const images = { attrs: { training: true }, variants: ["once", "shared"] };
  return [
    posed("layerNorm", `${some(50432)}x768`),
    posed("layerNorm", `${some(201728)}x192`),
    posed("layerNorm", `${some(100864)}x384`),
    posed("softmax", `${some(151296)}x197`),
    posed("softmax", `${some(151296)}x198`),
    posed("softmax", `${some(73856)}x577`),
    posed("logSoftmax", `${some(32768)}x1000`),
    posed("crossEntropy", `${some(32768)}x1000`, { attrs: { labelSmoothing: 0.1 } }),
    posed("crossEntropy", `${some(32768)}x1000`, { attrs: { labelSmoothing: 0.1 }, labels: { of: "target", classes: 1000 } }),
    posed("klDistillation", `${some(32768)}x1000`, { attrs: { tau: 3 }, wanted: ["student"] }),
    posed("batchNorm", smoke ? "2x208x14x14" : "64x208x56x56", images),
    posed("batchNorm", smoke ? "2x888x4x4" : "256x888x14x14", images),
    posed("gelu", `${some(12608)}x3072`),
    posed("add", `${some(12608)}x3072`, { wanted: [] }), // its gradients are dy itself
    dropped("dropout", [some(12608), 3072], (x) => dropout(x, { rate: 0.1, ...draws(), stream: 3 })),
    dropped("dropPath", [some(12608), 3072], (x) => dropPath(x, { rate: 0.1, ...draws(), stream: 3 })),
    sums(some(50432), 768),
    geluSums(some(12608), 3072),
    update(n, false),
    update(n, true),
    gradientNorm(n),
  ];
}

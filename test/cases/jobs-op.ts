/** The command `op`, from file to file: names, attributes, gradients and refusals of every operation. */
import opJob, { type OpArgs } from "../../jobs/op.ts";
import { ops } from "../../checks/catalog.ts";
import { differentiable } from "../../checks/op.ts";
import { parseSafetensors, writeSafetensors, type SafeTensor } from "../../models/checkpoints/safetensors.ts";
import { close, dot, uniform, type Case } from "../../checks/check.ts";
import { memoryHost } from "../memory-host.ts";

type Given = Readonly<
  Record<string, { readonly shape: readonly number[]; readonly data?: ArrayLike<number>; readonly dtype?: "F32" | "I32" | "I64" | "U8" }>
>;

function fileOf(given: Given): Uint8Array {
  return writeSafetensors(
    new Map(
      Object.entries(given).map(([name, { shape, data, dtype = "F32" }], i) => {
        const values =
          data ??
          uniform(
            shape.reduce((a, b) => a * b, 1),
            i + 1,
          );
        const typed =
          dtype === "F32"
            ? Float32Array.from(values)
            : dtype === "U8"
              ? Uint8Array.from(values)
              : dtype === "I32"
                ? Int32Array.from(values)
                : BigInt64Array.from(Array.from(values, BigInt));
        return [name, { dtype, shape, data: typed } as SafeTensor];
      }),
    ),
  );
}

async function runOp(name: string, given: Given, options: Partial<OpArgs> = {}): Promise<ReadonlyMap<string, SafeTensor>> {
  const host = memoryHost({ in: fileOf(given) });
  await opJob(host, { name, in: "in", out: "out", ...options });
  return parseSafetensors(host.files.get("out")!).tensors;
}

const values = (tensors: ReadonlyMap<string, SafeTensor>, name: string): Float32Array => {
  const tensor = tensors.get(name);
  if (!tensor) throw new Error(`expected an output ${name}, got ${[...tensors.keys()].join(", ")}`);
  return tensor.data as Float32Array;
};

const positive = (n: number) => uniform(n, 50).map((v) => 1.5 + v);

/** Inputs (and attributes) at which each operation is smooth. */
const SAMPLES: Readonly<
  Record<string, { readonly given: Given; readonly attrs?: Record<string, unknown>; readonly shape: readonly number[] }>
> = {
  matmul: { given: { a: { shape: [2, 4, 3] }, b: { shape: [5, 4] } }, attrs: { transposeA: true, transposeB: true }, shape: [2, 3, 5] },
  linear: {
    given: { x: { shape: [2, 3, 5] }, weight: { shape: [4, 5] }, bias: { shape: [4] } },
    attrs: { activation: "gelu" },
    shape: [2, 3, 4],
  },
  softmax: { given: { x: { shape: [3, 7] } }, shape: [3, 7] },
  logSoftmax: { given: { x: { shape: [3, 7] } }, shape: [3, 7] },
  layerNorm: { given: { x: { shape: [3, 7] }, weight: { shape: [7] }, bias: { shape: [7] } }, attrs: { eps: 1e-3 }, shape: [3, 7] },
  attention: {
    given: { q: { shape: [2, 3, 5, 8] }, k: { shape: [2, 3, 4, 8] }, v: { shape: [2, 3, 4, 8] } },
    attrs: { scale: 0.7 },
    shape: [2, 3, 5, 8],
  },
  gelu: { given: { x: { shape: [13] } }, shape: [13] },
  relu: { given: { x: { shape: [4], data: [-2, -0.5, 0.5, 2] } }, shape: [4] },
  sigmoid: { given: { x: { shape: [13] } }, shape: [13] },
  add: { given: { x: { shape: [3, 1, 2] }, b: { shape: [4, 1] } }, shape: [3, 4, 2] },
  mul: { given: { x: { shape: [3, 1, 2] }, b: { shape: [4, 1] } }, shape: [3, 4, 2] },
  conv2d: {
    given: { x: { shape: [2, 4, 5, 5] }, weight: { shape: [6, 2, 3, 3] }, bias: { shape: [6] } },
    attrs: { stride: 2, padding: 1, groups: 2 },
    shape: [2, 6, 3, 3],
  },
  depthwiseConv: { given: { x: { shape: [1, 4, 5, 3] }, weight: { shape: [3, 1, 3, 3] }, bias: { shape: [3] } }, shape: [1, 4, 5, 3] },
  batchNorm: {
    given: {
      x: { shape: [2, 3, 4, 4] },
      weight: { shape: [3] },
      bias: { shape: [3] },
      runningMean: { shape: [3] },
      runningVar: { shape: [3], data: positive(3) },
    },
    attrs: { eps: 1e-3 },
    shape: [2, 3, 4, 4],
  },
  globalAvgPool: { given: { x: { shape: [2, 3, 4, 5] } }, shape: [2, 3] },
  crossEntropy: {
    given: { logits: { shape: [3, 5] }, labels: { shape: [3], data: [4, 0, 2], dtype: "I64" } },
    attrs: { labelSmoothing: 0.1 },
    shape: [],
  },
  klDistillation: {
    given: { student: { shape: [3, 5] }, teacher: { shape: [3, 5] } },
    attrs: { tau: 3, reduction: "batchmean" },
    shape: [],
  },
  mixup: { given: { x: { shape: [4, 3, 4, 4] } }, attrs: { lam: 0.3 }, shape: [4, 3, 4, 4] },
  cutmix: { given: { x: { shape: [4, 3, 4, 4] } }, attrs: { box: [1, 3, 0, 2] }, shape: [4, 3, 4, 4] },
  resizePosEmbed: { given: { x: { shape: [1, 11, 5] } }, attrs: { prefix: 2, height: 4, width: 2 }, shape: [1, 10, 5] },
};

/** Of an operation that any small sizes suit. */
function smallSample(name: string): (typeof SAMPLES)[string] {
  const { letters, ...op } = ops[name]!;
  const { inputs, y, attrs } = op.problem(letters.map((letter) => (letter === ".." ? "3" : "4")).join("x"));
  return { given: Object.fromEntries(Object.entries(inputs).map(([input, shape]) => [input, { shape }])), attrs, shape: y };
}

const one = (...data: number[]) => ({ shape: [data.length], data });
const row = (...data: number[]) => ({ shape: [1, data.length], data });
const LN3 = Math.log(3);

/** Small enough for a look: that every attribute arrives, and the right operation answers. */
const VALUES: readonly (readonly [name: string, given: Given, attrs: Record<string, unknown>, y: readonly number[]])[] = [
  ["linear", { x: row(1), weight: row(1) }, {}, [1]],
  ["linear", { x: row(1), weight: row(1) }, { activation: "gelu" }, [0.84134475]],
  ["softmax", { x: one(0, LN3) }, {}, [0.25, 0.75]],
  ["logSoftmax", { x: one(0, LN3) }, {}, [Math.log(0.25), Math.log(0.75)]],
  ["layerNorm", { x: one(-1, 1), weight: one(2, 2), bias: one(0, 1) }, { eps: 3 }, [-1, 2]],
  [
    "attention",
    { q: { shape: [1, 1, 1, 1], data: [1] }, k: { shape: [1, 1, 2, 1], data: [0, 1] }, v: { shape: [1, 1, 2, 1], data: [0, 1] } },
    { scale: LN3 },
    [0.75],
  ],
  ["gelu", { x: one(1) }, {}, [0.84134475]],
  ["relu", { x: one(-1, 1) }, {}, [0, 1]],
  ["sigmoid", { x: one(LN3) }, {}, [0.75]],
  ["add", { x: one(2), b: one(3) }, {}, [5]],
  ["mul", { x: one(2), b: one(3) }, {}, [6]],
  [
    "batchNorm",
    { x: { shape: [1, 1, 1, 1], data: [4] }, weight: one(1), bias: one(5), runningMean: one(2), runningVar: one(1) },
    { eps: 3 },
    [6],
  ],
  ["globalAvgPool", { x: { shape: [1, 1, 2, 2], data: [1, 2, 3, 6] } }, {}, [3]],
  ["crossEntropy", { logits: row(LN3, 0), labels: { shape: [1], dtype: "I32", data: [0] } }, {}, [-Math.log(0.75)]],
  [
    "crossEntropy",
    { logits: row(LN3, 0), labels: { shape: [1], dtype: "I32", data: [0] } },
    { labelSmoothing: 0.1 },
    [-0.95 * Math.log(0.75) - 0.05 * Math.log(0.25)],
  ],
  ["crossEntropy", { logits: row(LN3, 0), target: row(0.2, 0.8) }, {}, [-0.2 * Math.log(0.75) - 0.8 * Math.log(0.25)]],
  ["klDistillation", { student: row(0, 0), teacher: row(2 * LN3, 0) }, { tau: 2 }, [2 * (0.75 * Math.log(1.5) + 0.25 * Math.log(0.5))]],
  [
    "klDistillation",
    { student: row(0, 0), teacher: row(2 * LN3, 0) },
    { tau: 2, reduction: "batchmean" },
    [4 * (0.75 * Math.log(1.5) + 0.25 * Math.log(0.5))],
  ],
  ["mixup", { x: { shape: [2, 1, 1, 1], data: [1, 5] } }, { lam: 0.25 }, [4, 2]],
  ["cutmix", { x: { shape: [2, 1, 1, 2], data: [1, 2, 3, 4] } }, { box: [0, 1, 1, 2] }, [1, 4, 3, 2]],
  ["resizeBicubic", { x: { shape: [1, 2, 1], data: [0, 200], dtype: "U8" } }, { height: 1, width: 1 }, [100]],
  ["resizePosEmbed", { x: { shape: [1, 2, 1], data: [3, 7] } }, { prefix: 1, height: 1, width: 2 }, [3, 7, 7]],
];

/** Each d<input> against the difference of two forwards along a random direction, both of the command's own. */
async function checkGradients(name: string): Promise<void> {
  const { given, shape, attrs = {} } = SAMPLES[name] ?? smallSample(name);
  const full = Object.fromEntries(
    Object.entries(given).map(([key, t], i) => [
      key,
      {
        ...t,
        data:
          t.data ??
          uniform(
            t.shape.reduce((a, b) => a * b, 1),
            i + 1,
          ),
      },
    ]),
  );
  const dy = uniform(
    shape.reduce((a, b) => a * b, 1),
    90,
  );
  const out = await runOp(name, { ...full, dy: { shape, data: dy } }, { attrs, backward: true });
  if (String(out.get("y")!.shape) !== String(shape)) throw new Error(`expected y [${shape}], got [${out.get("y")!.shape}]`);
  for (const [key, { data, shape: own, dtype = "F32" }] of Object.entries(full)) {
    const flows = dtype === "F32" && !ops[name]!.inputs[key]!.buffer;
    if (out.has(`d${key}`) !== flows) throw new Error(`expected ${flows ? "a" : "no"} d${key}, got ${[...out.keys()].join(", ")}`);
    if (!flows) continue;
    if (String(out.get(`d${key}`)!.shape) !== String(own)) throw new Error(`expected d${key} [${own}], got [${out.get(`d${key}`)!.shape}]`);
    const v = uniform(data.length, 91);
    const at = async (t: number) =>
      dot(
        values(
          await runOp(name, { ...full, [key]: { shape: own, data: Float64Array.from(data, (x, i) => x + t * v[i]!) } }, { attrs }),
          "y",
        ),
        dy,
      );
    const h = 2 ** -7;
    const slope = ((await at(h)) - (await at(-h))) / (2 * h);
    const g = dot(values(out, `d${key}`), v);
    close(`d${key} along a direction`, g, slope, 2e-3 * (1 + Math.abs(slope)));
  }
}

async function refused(message: RegExp, name: string, given: Given, options: Partial<OpArgs> = {}): Promise<void> {
  try {
    await runOp(name, given, options);
  } catch (error) {
    if ((error as Error).name === "UsageError" && message.test((error as Error).message)) return;
    throw new Error(`expected a UsageError like ${message}, got ${(error as Error).name}: ${(error as Error).message}`);
  }
  throw new Error(`expected a UsageError like ${message}, got none`);
}

const a = { shape: [2, 3] },
  b = { shape: [3, 2] },
  logits = { shape: [2, 5] };
const REFUSALS: readonly (readonly [why: string, message: RegExp, name: string, given: Given, options?: Partial<OpArgs>])[] = [
  ["an unknown operation", /^expected one of adamw, attention, .*, got "matmull"$/, "matmull", { a, b }],
  ["a missing input", /^expected tensors a, b, dy \(optional\) in in, got a$/, "matmul", { a }],
  ["an input too many", /^expected tensors a, b, .* got a, b, c$/, "matmul", { a, b, c: a }],
  ["shapes that do not fit", /^expected a \[..,M,K\] and b \[..,K,N\], got \[2,3\] and \[2,3\]$/, "matmul", { a, b: a }],
  [
    "numbers that are not",
    /^expected finite numbers in b, got NaN at element 4$/,
    "matmul",
    { a, b: { ...b, data: [0, 1, 2, 3, NaN, 5] } },
  ],
  [
    "infinity in dy",
    /^expected finite numbers in dy, got Infinity at element 0$/,
    "relu",
    { x: { shape: [1] }, dy: { shape: [1], data: [Infinity] } },
    { backward: true },
  ],
  ["another dtype", /^expected F32 for a, got I32 \[2,3\]$/, "matmul", { a: { ...a, dtype: "I32", data: [1, 2, 3, 4, 5, 6] }, b }],
  ["an unknown attribute", /^expected attrs transposeA, transposeB, got "transpose"$/, "matmul", { a, b }, { attrs: { transpose: true } }],
  [
    "an attribute out of range",
    /^expected a positive number for attr eps, got -1$/,
    "layerNorm",
    { x: a, weight: { shape: [3] }, bias: { shape: [3] } },
    { attrs: { eps: -1 } },
  ],
  ["an attribute that must be given", /^expected a number in \[0, 1\] for attr lam, got none$/, "mixup", { x: { shape: [2, 1, 2, 2] } }],
  [
    "an unknown variant",
    /^expected variant register or subgroup or shared or .* for matmul, got "fast"$/,
    "matmul",
    { a, b },
    { variant: "fast" },
  ],
  [
    "labels out of range",
    /^expected labels in \[0, 4\], got 5$/,
    "crossEntropy",
    { logits, labels: { shape: [2], dtype: "I64", data: [0, 5] } },
  ],
  [
    "negative labels",
    /^expected labels in \[0, 4\], got -1$/,
    "crossEntropy",
    { logits, labels: { shape: [2], dtype: "I32", data: [0, -1] } },
  ],
  [
    "labels and a target",
    /^expected either target or labels, got both$/,
    "crossEntropy",
    { logits, target: logits, labels: { shape: [2], dtype: "I32", data: [0, 1] } },
  ],
  ["dy of another shape", /^expected dy of shape \[2,2\], got \[2,3\]$/, "matmul", { a, b, dy: a }, { backward: true }],
  [
    "floats where bytes are expected",
    /^expected U8 for x, got F32 \[2,2,3\]$/,
    "resizeBicubic",
    { x: { shape: [2, 2, 3] } },
    { attrs: { height: 1, width: 1 } },
  ],
  [
    "a gradient of bytes",
    /^expected no --backward for resizeBicubic, whose inputs are bytes$/,
    "resizeBicubic",
    { x: { shape: [1], data: [1], dtype: "U8" } },
    { attrs: { height: 1, width: 1 }, backward: true },
  ],
  [
    "another number of tokens before the patches",
    /^expected 1 or 2 for attr prefix, got 3$/,
    "resizePosEmbed",
    { x: { shape: [1, 5, 2] } },
    { attrs: { prefix: 3, height: 1, width: 1 } },
  ],
  [
    "a box outside of the image",
    /^expected a box within 2 x 2, got \[0,3,0,1\]/,
    "cutmix",
    { x: { shape: [2, 1, 2, 2] } },
    { attrs: { box: [0, 3, 0, 1] } },
  ],
];

export const cases: Case[] = [
  ...Object.keys(ops)
    .filter((name) => differentiable(ops[name]!).length > 0)
    .map((name) => ({ name: `op ${name}: outputs by name, gradients along a direction`, run: () => checkGradients(name) })),
  {
    name: "op: values that can be checked by hand",
    async run() {
      for (const [name, given, attrs, y] of VALUES) {
        const out = values(await runOp(name, given, { attrs }), "y");
        if (out.length !== y.length) throw new Error(`${name}: expected ${y.length} values, got ${out.length}`);
        y.forEach((v, i) => close(`${name} ${JSON.stringify(attrs)} y[${i}]`, out[i]!, v, 1e-5));
      }
    },
  },
  {
    name: "op batchNorm: training gives running statistics, the variance unbiased",
    async run() {
      const out = await runOp(
        "batchNorm",
        { x: { shape: [1, 1, 1, 4], data: [1, 2, 3, 6] }, weight: one(1), bias: one(0), runningMean: one(0), runningVar: one(1) },
        { attrs: { training: true } },
      );
      close("runningMean", values(out, "runningMean")[0]!, 0.1 * 3, 1e-6);
      close("runningVar", values(out, "runningVar")[0]!, 0.9 + 0.1 * (14 / 3), 1e-6);
    },
  },
  ...Object.entries(ops)
    .filter(([, { variants }]) => variants.length > 0)
    .map(([name, { variants }]) => ({
      name: `op ${name}: variants agree`,
      long: true,
      async run() {
        const { given, attrs = {} } = SAMPLES[name] ?? smallSample(name);
        const [first, ...others] = await Promise.all(variants.map((variant) => runOp(name, given, { attrs, variant })));
        for (const other of others) values(first!, "y").forEach((v, i) => close(`y[${i}]`, values(other, "y")[i]!, v, 1e-5));
      },
    })),
  ...REFUSALS.map(([why, message, name, given, options]) => ({
    name: `op: refuses ${why}`,
    run: () => refused(message, name, given, options),
  })),
];

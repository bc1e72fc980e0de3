/** f16 storage: every kernel a DeiT needs, forward and backward, against f64 on the same rounded inputs. */
import { numel } from "../../engine/shape.ts";
import { narrowed } from "../../engine/narrow.ts";
import { attention, attentionPacked } from "../../kernels/attention.ts";
import { crossEntropy } from "../../kernels/cross-entropy.ts";
import { add, gelu, mul, scale } from "../../kernels/elementwise.ts";
import { TILES, type TileName } from "../../kernels/gemm/tiles.ts";
import { klDistillation } from "../../kernels/kl-distillation.ts";
import { layerNorm } from "../../kernels/layer-norm.ts";
import { concat, slice } from "../../kernels/movement.ts";
import { linear } from "../../kernels/linear.ts";
import { matmul } from "../../kernels/matmul.ts";
import { mlp } from "../../kernels/mlp.ts";
import { patchTokens } from "../../kernels/patch-embed.ts";
import { logSoftmax, softmax } from "../../kernels/softmax.ts";
import { refuses, type Case } from "../check.ts";
import { needsOf } from "../gemm-variants.ts";
import { checkHalf, halves, toHalf } from "../half.ts";
import { attentionPackedReference, attentionReference } from "../reference/attention.ts";
import { layerNormReference, logSoftmaxReference, softmaxReference } from "../reference/rows.ts";

const product =
  (M: number, N: number, K: number) =>
  (a: Float64Array, b: Float64Array): Float64Array => {
    const y = new Float64Array(M * N);
    for (let m = 0; m < M; m++) for (let n = 0; n < N; n++) for (let k = 0; k < K; k++) y[m * N + n]! += a[m * K + k]! * b[n * K + k]!;
    return y;
  };
const withBias = (y: Float64Array, bias: Float64Array) => y.map((v, i) => v + bias[i % bias.length]!);
/** Phi, by Simpson's rule over the density. */
function cdf(x: number): number {
  const n = 400,
    h = x / n;
  let s = 0;
  for (let i = 0; i < n; i++)
    s += ((Math.exp(-((i * h) ** 2) / 2) + 4 * Math.exp(-(((i + 0.5) * h) ** 2) / 2) + Math.exp(-(((i + 1) * h) ** 2) / 2)) * h) / 6;
  return 0.5 + s / Math.sqrt(2 * Math.PI);
}
const geluOf = (y: Float64Array) => y.map((v) => v * cdf(v));
const mlpReference =
  (rows: number, I: number, H: number, O: number) =>
  (x: Float64Array, w1: Float64Array, b1: Float64Array, w2: Float64Array, b2: Float64Array, r: Float64Array) =>
    withBias(product(rows, O, H)(geluOf(withBias(product(rows, H, I)(x, w1), b1)), w2), b2).map((v, i) => v + r[i]!);
const crossEntropyReference = (B: number, K: number) => (z: Float64Array, t: Float64Array) => [
  logSoftmaxReference(K)(z).reduce((s, l, i) => s - t[i]! * l, 0) / B,
];
const klReference = (B: number, K: number, tau: number) => (s: Float64Array, t: Float64Array) => {
  const ls = logSoftmaxReference(K)(s.map((v) => v / tau)),
    lt = logSoftmaxReference(K)(t.map((v) => v / tau));
  return [(tau ** 2 / B) * lt.reduce((sum, l, i) => sum + Math.exp(l) * (l - ls[i]!), 0)];
};

const raw: Case[] = [
  {
    name: "f16 cast: f32 rounded to f16 and back, odd lengths too",
    run: () => checkHalf({ inputs: [[3, 7]], op: (x) => scale(x, 1), reference: (x) => x }),
  },
  ...(["register-8x8", "subgroup-16x8", "shared-64x64", "shared-32x32"] as const).map(
    (variant): Case => ({
      name: `f16 linear (${variant}): prime sizes, bias, GELU`,
      ...needsOf(variant),
      run: () =>
        checkHalf({
          inputs: [[5, 11], [7, 11], [7]],
          op: (x, w, b) => linear(x, w, b, { activation: "gelu", variant }),
          reference: (x, w, b) => geluOf(withBias(product(5, 7, 11)(x, w), b)),
          roundings: 2,
        }),
    }),
  ),
  // One kernel each: the forward's. The text of loads and stores is the same in every direction.
  ...(Object.keys(TILES) as TileName[]).map(
    (variant): Case => ({
      name: `f16 matmul (${variant}): whole fours`,
      ...needsOf(variant),
      run: () =>
        checkHalf({
          inputs: [
            [8, 16],
            [20, 16],
          ],
          grads: [],
          op: (a, b) => matmul(a, b, { transposeB: true, variant }),
          reference: product(8, 20, 16),
        }),
    }),
  ),
  {
    name: "f16 linear: a sum long enough to be split, f32 in between",
    run: () =>
      checkHalf({
        inputs: [[2, 1100], [3, 1100], [3]],
        op: (x, w, b) => linear(x, w, b),
        reference: (x, w, b) => withBias(product(2, 3, 1100)(x, w), b),
      }),
  },
  {
    name: "f16 matmul: a batch that broadcasts",
    run: () =>
      checkHalf({
        inputs: [
          [2, 3, 5],
          [4, 5],
        ],
        op: (a, b) => matmul(a, b, { transposeB: true }),
        reference: product(6, 4, 5),
      }),
  },
  {
    name: "f16 mlp: with a residual",
    run: () =>
      checkHalf({
        inputs: [[5, 8], [12, 8], [12], [8, 12], [8], [5, 8]],
        op: (x, w1, b1, w2, b2, residual) => mlp(x, w1, b1, w2, b2, { residual }),
        reference: mlpReference(5, 8, 12, 8),
        roundings: 3,
      }),
  },
  ...(["register", "shared"] as const).flatMap((variant): Case[] => [
    ...[
      [5, 7],
      [197, 8],
    ].flatMap(([rows, D]): Case[] => [
      {
        name: `f16 layerNorm (${variant}): ${rows} rows of ${D}, parameters in f32`,
        run: () =>
          checkHalf({
            inputs: [[rows!, D!], [D!], [D!]],
            wide: [1, 2],
            op: (x, w, b) => layerNorm(x, w, b, { variant }),
            reference: layerNormReference(D!),
            roundings: 2,
          }),
      },
      {
        name: `f16 softmax (${variant}): ${rows} rows of ${D}`,
        run: () => checkHalf({ inputs: [[rows!, D!]], op: (x) => softmax(x, { variant }), reference: softmaxReference(D!), roundings: 2 }),
      },
    ]),
    {
      name: `f16 logSoftmax (${variant})`,
      run: () => checkHalf({ inputs: [[3, 10]], op: (x) => logSoftmax(x, { variant }), reference: logSoftmaxReference(10), roundings: 2 }),
    },
  ]),
  // The other block sizes are the same text.
  ...(["register", "shared", "batched"] as const).flatMap((variant): Case[] => [
    {
      name: `f16 attention (${variant}): 19 queries, 13 keys`,
      run: () =>
        checkHalf({
          inputs: [
            [1, 2, 19, 8],
            [1, 2, 13, 8],
            [1, 2, 13, 8],
          ],
          op: (q, k, v) => attention(q, k, v, { variant }),
          reference: attentionReference(2, 19, 13, 8),
          roundings: 3,
        }),
    },
  ]),
  {
    name: "f16 attention (batched): scores of 40 keep their digits until the softmax",
    run: () =>
      checkHalf({
        inputs: [
          [1, 1, 21, 64],
          [1, 1, 13, 64],
          [1, 1, 13, 64],
        ].map((shape, i) => ({ shape, values: halves(numel(shape), i + 1).map((v) => (i < 2 ? 6 * v : v)) })),
        grads: [],
        op: (q, k, v) => attention(q!, k!, v!, { variant: "batched" }),
        reference: attentionReference(1, 21, 13, 64) as (...inputs: Float64Array[]) => Float64Array,
        roundings: 2,
      }),
  },
  { name: "f16 gelu", run: () => checkHalf({ inputs: [[31]], op: gelu, reference: geluOf }) },
  {
    name: "f16 add: broadcasts",
    run: () => checkHalf({ inputs: [[3, 4], [4]], op: add, reference: (a, b) => a.map((v, i) => v + b[i % 4]!) }),
  },
  {
    name: "f16 mul: broadcasts",
    run: () => checkHalf({ inputs: [[3, 5], [5]], op: mul, reference: (a, b) => a.map((v, i) => v * b[i % 5]!) }),
  },
  {
    name: "f16 slice and concat",
    run: () =>
      checkHalf({
        inputs: [
          [3, 5],
          [3, 2],
        ],
        op: (a, b) => concat([slice(a, 1, 1, 4), b], 1),
        reference: (a, b) => [0, 1, 2].flatMap((r) => [...a.slice(5 * r + 1, 5 * r + 4), ...b.slice(2 * r, 2 * r + 2)]),
      }),
  },
  {
    name: "f16 crossEntropy: f16 logits, f32 loss",
    run: () =>
      checkHalf({
        inputs: [[4, 10], { shape: [4, 10], values: halves(40, 9).map((v) => toHalf(Math.abs(v) / 5)) }],
        grads: [0],
        op: (z, t) => crossEntropy(z, t),
        reference: crossEntropyReference(4, 10),
      }),
  },
  {
    name: "f16 klDistillation: f16 logits of both",
    run: () =>
      checkHalf({
        inputs: [
          [4, 10],
          [4, 10],
        ],
        op: (s, t) => klDistillation(s, t, { tau: 2, reduction: "batchmean" }),
        reference: klReference(4, 10, 2),
      }),
  },
  {
    name: "f16 patchTokens: tokens and position in f32",
    run: () =>
      checkHalf({
        inputs: [[2, 3, 4, 4], [6, 3, 2, 2], [6], [1, 1, 6], [1, 5, 6]],
        wide: [2, 3, 4],
        op: (x, w, b, t, pos) => patchTokens(x, w, b, [t], pos),
        reference: tokensReference,
      }),
  },
  {
    name: "f16 attentionPacked: as unpacked",
    async run() {
      for (const variant of ["register", "shared"] as const)
        await checkHalf({
          inputs: [[2, 9, 24]],
          op: (qkv) => attentionPacked(qkv, { heads: 2, variant }),
          reference: attentionPackedReference(2, 9, 2, 4),
          roundings: 3,
        });
    },
  },
];

function tokensReference(x: Float64Array, w: Float64Array, b: Float64Array, token: Float64Array, pos: Float64Array): Float64Array {
  const y = new Float64Array(2 * 5 * 6);
  for (let n = 0; n < 2; n++)
    for (let t = 0; t < 5; t++)
      for (let d = 0; d < 6; d++) {
        let v = t === 0 ? token[d]! : b[d]!;
        if (t > 0)
          for (let c = 0; c < 3; c++)
            for (let k = 0; k < 4; k++)
              v +=
                w[(d * 3 + c) * 4 + k]! * x[((n * 3 + c) * 4 + Math.floor((t - 1) / 2) * 2 + (k >> 1)) * 4 + ((t - 1) % 2) * 2 + (k & 1)]!;
        y[(n * 5 + t) * 6 + d] = v + pos[t * 6 + d]!;
      }
  return y;
}

export const cases: Case[] = [
  ...raw.map((c) => ({ ...c, needs: ["shader-f16", ...(c.needs ?? [])] })),
  {
    name: "f16: how a kernel's text is narrowed",
    async run() {
      const names = new Map([
        ["x", "vec4f"],
        ["y", "f32"],
      ] as const);
      const is = (text: string, expected: string) => {
        if (narrowed(text, names) !== expected) throw new Error(`expected ${expected}, got ${narrowed(text, names)}`);
      };
      is("y[i] = x[y[i]].x + xy[i] + p.x[2];", "y[i] = f16(vec4f(x[f32(y[i])]).x + xy[i] + p.x[2]);");
      is("if (y[i] == 0.0) { v = x[a[i]][2]; }", "if (f32(y[i]) == 0.0) { v = vec4f(x[a[i]])[2]; }");
      for (const bad of ["y[i] += 1.0;", "x[i].y = 1.0;", "x[i][2] = 1.0;"])
        await refuses(() => narrowed(bad, names), /expected whole stores to/);
    },
  },
];

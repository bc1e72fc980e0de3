import { Tensor } from "../../engine/tensor.ts";
import { gemm } from "../../kernels/gemm/gemm.ts";
import { TILES, type GemmVariant, type TileName } from "../../kernels/gemm/tiles.ts";
import { matmul } from "../../kernels/matmul.ts";
import { checkOp, refuses, type Case } from "../check.ts";
import { flag, op } from "../op.ts";
import { GEMM_KINDS, GEMM_VARIANTS, needsOf } from "../gemm-variants.ts";
import { geluReference } from "../reference/elementwise.ts";
import { matmulReference } from "../reference/matmul.ts";

export const ops = [
  op("matmul", {
    inputs: { a: "[..,M,K]", b: "[..,K,N]" },
    outputs: "y [..,M,N]",
    attrs: { transposeA: flag, transposeB: flag },
    variants: GEMM_VARIANTS,
    run: ({ a, b }, attrs, variant) => matmul(a, b, { ...attrs, variant }),
    reference: ({ a, b }, shapes, attrs) => matmulReference(shapes.a, shapes.b, attrs)(a, b),
    macs: ({ rows, M, K, N }) => rows! * M! * K! * N!,
    timed: [
      { sizes: "256x256x256", quick: true },
      { sizes: "197x192x768" },
      { sizes: "1024x1024x1024", on: "gpu" },
      { sizes: "4096x4096x4096", on: "gpu" },
    ],
  }),
];

// Where batches lie does not depend on the kind of kernel, and `shared` ones compile slowly on processors.
const shapes: { why: string; a: number[]; b: number[]; transposeA?: boolean; transposeB?: boolean; only?: GemmVariant }[] = [
  { why: "one number", a: [1, 1], b: [1, 1] },
  { why: "one row, columns just over a tile", a: [1, 37], b: [37, 65], only: "register" },
  { why: "primes", a: [37, 41], b: [41, 43] },
  { why: "one less than a tile", a: [63, 31], b: [31, 63] },
  { why: "exactly a tile", a: [64, 32], b: [32, 64], only: "register" },
  { why: "one more than a tile", a: [65, 33], b: [33, 65] },
  { why: "fours, but no whole tile", a: [68, 20], b: [20, 36] },
  { why: "a transposed, primes", a: [41, 37], b: [41, 43], transposeA: true },
  { why: "a transposed, fours", a: [20, 68], b: [20, 36], transposeA: true },
  { why: "b transposed, primes", a: [37, 41], b: [43, 41], transposeB: true },
  { why: "b transposed, fours", a: [68, 20], b: [36, 20], transposeB: true },
  { why: "both transposed, primes", a: [41, 37], b: [43, 41], transposeA: true, transposeB: true },
  { why: "both transposed, fours", a: [20, 68], b: [36, 20], transposeA: true, transposeB: true },
  { why: "a long sum over few tiles is split", a: [5, 1031], b: [1031, 7] },
  { why: "a split, transposed, alike shares", a: [1024, 8], b: [1024, 12], transposeA: true },
  { why: "one b for a batch", a: [3, 2, 9, 11], b: [11, 5] },
  { why: "one a for a batch", a: [9, 11], b: [3, 11, 5], only: "register" },
  { why: "both sides broadcast", a: [3, 1, 9, 11], b: [2, 11, 5], only: "register" },
  { why: "both sides broadcast, transposed", a: [3, 1, 11, 9], b: [1, 2, 5, 11], transposeA: true, transposeB: true },
  { why: "repeated in the middle, three kinds of axes", a: [2, 1, 3, 5, 4], b: [2, 3, 1, 4, 6], only: "register" },
];

export const cases: Case[] = [
  ...GEMM_KINDS.flatMap((variant) =>
    [
      ...shapes
        .filter(({ only = variant }) => only === variant)
        .map(({ why, a, b, transposeA = false, transposeB = false }) => ({
          name: `matmul: ${why} (${variant})`,
          run: () =>
            checkOp({
              inputs: [a, b],
              op: (x, y) => matmul(x, y, { transposeA, transposeB, variant }),
              reference: matmulReference(a, b, { transposeA, transposeB }),
            }),
        })),
      {
        name: `matmul: an attention's scores, in a batch (${variant})`,
        run: () =>
          checkOp({
            inputs: [
              [2, 197, 64],
              [2, 197, 64],
            ],
            op: (q, k) => matmul(q, k, { transposeB: true, variant }),
            reference: matmulReference([2, 197, 64], [2, 197, 64], { transposeB: true }),
            shape: [2, 197, 197],
          }),
      },
      { name: `gemm: heads read out of a packed tensor and written side by side (${variant})`, run: () => strided(variant) },
      ...[
        { why: "fours", M: 12, N: 8, K: 4 },
        { why: "a split", M: 3, N: 5, K: 520 },
      ].map(({ why, M, N, K }) => ({
        name: `gemm: alpha, bias, GELU, times GELU', residual, ${why} (${variant})`,
        run: () =>
          checkOp({
            inputs: [[M, K], [N, K], [N], [M, N], [M, N]],
            op: (a, b, bias, before, residual) =>
              gemm({
                a: { tensor: a },
                b: { tensor: b, transposed: true },
                M,
                N,
                K,
                shape: [M, N],
                alpha: 0.5,
                bias,
                activation: "gelu",
                gradOf: { activation: "gelu", at: before },
                residual,
                variant,
              }).y,
            reference: (a, b, bias, before, residual) =>
              geluReference(matmulReference([M, K], [N, K], { transposeB: true })(a!, b!).map((v, i) => 0.5 * v + bias![i % N]!)).map(
                (v, i) => v * geluSlope(before![i]!) + residual![i]!,
              ),
            grads: [],
          }),
      })),
    ].map((one): Case => ({ ...one, ...needsOf(variant) })),
  ),
  ...(Object.keys(TILES) as TileName[]).map((variant) => ({
    name: `matmul: one more than a tile, by ${variant}`,
    ...needsOf(variant),
    run: () =>
      checkOp({
        inputs: [
          [129, 33],
          [33, 65],
        ],
        op: (x, y) => matmul(x, y, { variant }),
        reference: matmulReference([129, 33], [33, 65]),
        grads: [],
      }),
  })),
  ...[
    { why: "32 x 32 tiles without edges", a: [32, 16], b: [16, 32] },
    { why: "64 x 64 tiles", a: [701, 7], b: [7, 767] },
    { why: "128 x 64 tiles", a: [16384, 16], b: [16, 64] },
    { why: "128 x 128 tiles", a: [16390, 12], b: [12, 128] },
  ].map(({ why, a, b }) => ({
    name: `matmul: ${why} (shared)`,
    run: () => checkOp({ inputs: [a, b], op: (x, y) => matmul(x, y, { variant: "shared" }), reference: matmulReference(a, b), grads: [] }),
  })),
  {
    name: "matmul: refuses sums of different lengths",
    run: () =>
      refuses(
        () => matmul(Tensor.zeros([2, 3]), Tensor.zeros([4, 5])),
        /matmul: expected a \[\.\.,M,K\] and b \[\.\.,K,N\], got \[2,3\] and \[4,5\]/,
      ),
  },
  {
    name: "matmul: refuses vectors",
    run: () => refuses(() => matmul(Tensor.zeros([3]), Tensor.zeros([3, 5])), /matmul: expected a .* got \[3\] and \[3,5\]/),
  },
  {
    name: "matmul: refuses batches that do not broadcast",
    run: () =>
      refuses(
        () => matmul(Tensor.zeros([2, 4, 3]), Tensor.zeros([5, 3, 4])),
        /matmul: expected shapes that broadcast, got \[2\] and \[5\]/,
      ),
  },
];

const geluSlope = (x: number): number =>
  (geluReference(Float64Array.of(x + 1e-5))[0]! - geluReference(Float64Array.of(x - 1e-5))[0]!) / 2e-5;

/** q k^T per head, q and k read out of (B, N, 3, H, d); the scores written as (B, N, H, N). */
async function strided(variant: GemmVariant): Promise<void> {
  const [B, N, H, d] = [2, 13, 3, 8];
  await checkOp({
    inputs: [[B, N, 3, H, d]],
    op: (packed) =>
      gemm({
        a: { tensor: packed, ld: 3 * H * d, batch: [N * 3 * H * d, d] },
        b: { tensor: packed, transposed: true, ld: 3 * H * d, batch: [N * 3 * H * d, d], offset: H * d },
        M: N,
        N,
        K: d,
        batch: [B, H],
        shape: [B, N, H, N],
        out: { ld: H * N, batch: [N * H * N, N] },
        alpha: 0.25,
        variant,
      }).y,
    reference: (x) =>
      Float64Array.from({ length: B * N * H * N }, (_, i) => {
        const j = i % N,
          h = Math.floor(i / N) % H,
          n = Math.floor(i / (N * H)) % N,
          b = Math.floor(i / (N * H * N));
        let s = 0;
        for (let c = 0; c < d; c++) s += x![((b * N + n) * 3 * H + h) * d + c]! * x![((b * N + j) * 3 * H + H + h) * d + c]!;
        return 0.25 * s;
      }),
    grads: [],
  });
}

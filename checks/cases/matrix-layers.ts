/** A model's layers on tensor cores: padded rows of attention, patches, heads, sums for biases; and every tile. Needs subgroup matrices. */
import { SUBGROUP_MATRIX } from "../../engine/wgsl.ts";
import { getDevice } from "../../engine/device.ts";
import { gradients } from "../../engine/autograd.ts";
import { record } from "../../engine/plan.ts";
import { scope } from "../../engine/memory.ts";
import { readAll, Tensor } from "../../engine/tensor.ts";
import { attention, attentionPacked } from "../../kernels/attention.ts";
import { MATRIX_TILES, type MatrixTileName } from "../../kernels/gemm/matrix-choose.ts";
import { halfBits, matrixRefuses, matrixSums, probeMatrix, useSubgroupMatrix } from "../../kernels/gemm/matrix.ts";
import { sumThreads, type MatrixTile } from "../../kernels/gemm/matrix-tile.ts";
import { linear } from "../../kernels/linear.ts";
import { patchTokens } from "../../kernels/patch-embed.ts";
import { tokenLinear } from "../../kernels/token-linear.ts";
import { close, uniform, type Case } from "../check.ts";
import { attentionPackedReference, attentionReference } from "../reference/attention.ts";
import { linearReference, matmulReference, patchEmbedReference } from "../reference/matmul.ts";
import { checkHalf, toHalf, type HalfCheck } from "../half.ts";

const needs = [SUBGROUP_MATRIX, "shader-f16"];

interface LayerCheck extends HalfCheck {
  /** The launches that the gradients take: what of the forward they do not need is left out. */
  readonly kernels: RegExp;
}

/** Values and gradients against f64, with tensor cores in use, and which kernels ran. */
async function checkLayer({ kernels, ...check }: LayerCheck): Promise<void> {
  const { on, reason } = await useSubgroupMatrix();
  if (!on) throw new Error(`useSubgroupMatrix: expected to be on, got off: ${reason}`);
  try {
    const plan = await record(() => {
      const inputs = check.inputs.map((given, i) => {
        const t = Tensor.zeros("shape" in given ? given.shape : given, check.wide?.includes(i) ? "f32" : "f16");
        t.requiresGrad = true;
        return t;
      });
      const y = check.op(...inputs);
      const wanted = check.grads?.map((i) => inputs[i]!) ?? inputs;
      return gradients(y, wanted, Tensor.zeros(y.shape, y.dtype));
    });
    const ran = plan.kernels.join(" ");
    plan.dispose();
    if (!kernels.test(ran)) throw new Error(`kernels: expected ${kernels}, got ${ran}`);
    await checkHalf(check);
  } finally {
    await useSubgroupMatrix(false);
  }
}

/**
 * A product by one tile, with sums of A where it can make them, edges and a tail included, against f64. Its slabs are as shallow as can be where
 * the adapter has too little memory for them, and on a processor, whose compiler takes minutes over what is unrolled.
 */
async function byTile(name: MatrixTileName): Promise<void> {
  const { setup } = await probeMatrix();
  let tile: MatrixTile = MATRIX_TILES[name][0];
  const summed = sumThreads({ ...setup!, tile, aAlongK: false, bAlongK: false }) > 0;
  const sizes = () => ({ ta: true, tb: false, M: tile.bm + 40, N: tile.bn + 24, K: 2 * tile.bk + 8, sums: summed });
  const tooDeep = () => getDevice().adapter.software || matrixRefuses(setup!, tile, sizes(), getDevice()) !== null;
  while (tooDeep() && tile.bk > setup!.shape.K) tile = { ...tile, bk: tile.bk / 2 };
  const product = sizes(),
    { M, N, K } = product;
  const [A, B] = [uniform(K * M, 1).map(toHalf), uniform(K * N, 2).map(toHalf)];
  const made = scope(() => {
    const [a, b] = [Tensor.from(halfBits(A), [K, M], "f16"), Tensor.from(halfBits(B), [K, N], "f16")];
    const { y, sums } = matrixSums(setup!, tile, { ...product, a, b });
    return sums ? [y, sums] : [y];
  });
  const [y, sums] = (await readAll(made)) as Float32Array[];
  for (const t of made) t.dispose();
  matmulReference([K, M], [K, N], { transposeA: true })(A, B).forEach((e, i) => close(`y[${i}]`, y![i]!, e, 1e-4));
  if (!summed) return;
  for (let m = 0; m < M; m++) {
    let e = 0;
    for (let k = 0; k < K; k++) e += A[k * M + m]!;
    close(`sums[${m}]`, sums![m]!, e, 1e-4);
  }
}

export const cases: Case[] = [
  {
    name: "gemm.matrix: attention over 37 tokens, all six products, gradients in one tensor",
    needs,
    run: () =>
      checkLayer({
        inputs: [[2, 37, 3 * 2 * 32]],
        op: (qkv) => attentionPacked(qkv, { heads: 2, variant: "batched" }),
        kernels: /^gemm\.matrix attention\.softmax gemm\.matrix attention\.dots gemm\.matrix gemm\.matrix gemm\.matrix gemm\.matrix$/,
        reference: attentionPackedReference(2, 37, 2, 32),
        roundings: 3,
      }),
  },
  {
    name: "gemm.matrix: attention of 40 queries over 53 keys",
    needs,
    run: () =>
      checkLayer({
        inputs: [
          [1, 2, 40, 32],
          [1, 2, 53, 32],
          [1, 2, 53, 32],
        ],
        op: (q, k, v) => attention(q, k, v, { variant: "batched" }),
        kernels: /^(?!.*gemm\.(shared|subgroup|register))/,
        reference: attentionReference(2, 40, 53, 32),
        roundings: 3,
      }),
  },
  {
    name: "gemm.matrix: a layer's bias gradient comes with its weight's, cut along K",
    needs,
    run: () =>
      checkLayer({
        inputs: [[1064, 64], [104, 64], [104]],
        wide: [2],
        op: (x, w, b) => linear(x, w, b),
        kernels: /^gemm\.matrix gemm\.reduce gemm\.matrix$/,
        reference: linearReference({ rows: 1064, I: 64, O: 104 }),
        roundings: 8,
      }),
  },
  {
    name: "gemm.matrix: patches of images, two tokens in front",
    needs,
    run: () =>
      checkLayer({
        inputs: [[2, 3, 32, 32], [40, 3, 8, 8], [40], [1, 18, 40], [1, 1, 40], [1, 1, 40]],
        grads: [1, 2, 3, 4, 5],
        wide: [2, 3, 4, 5],
        op: (x, w, b, position, ...front) => patchTokens(x!, w!, b!, front, position!),
        kernels: /^patchEmbed\.cut patchEmbed\.backwardTokens gemm\.matrix$/,
        reference: (x, w, b, position, ...front) => {
          const y = patchEmbedReference(2, 3, 32, 32, 40, 8)(x!, w!, b);
          return Float64Array.from({ length: 2 * 18 * 40 }, (_, i) => {
            const [d, t, image] = [i % 40, Math.floor(i / 40) % 18, Math.floor(i / 720)];
            return (t < 2 ? front[t]![d]! : y[(image * 16 + t - 2) * 40 + d]!) + position![t * 40 + d]!;
          });
        },
        roundings: 4,
      }),
  },
  {
    name: "gemm.matrix: a head on the only token",
    needs,
    run: () =>
      checkLayer({
        inputs: [[40, 1, 64], [72, 64], [72]],
        wide: [2],
        op: (x, w, b) => tokenLinear(x, 0, w, b),
        kernels: /^(gemm\.matrix ?)+$/,
        reference: linearReference({ rows: 40, I: 64, O: 72 }),
        roundings: 3,
      }),
  },
  ...(Object.keys(MATRIX_TILES) as MatrixTileName[]).map(
    (name): Case => ({ name: `gemm.matrix: ${name}, edges, a tail and sums of A`, needs, run: () => byTile(name) }),
  ),
];

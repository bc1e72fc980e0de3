import { z } from "zod";
import { gradients } from "../../engine/autograd.ts";
import { scope } from "../../engine/memory.ts";
import { readAll, Tensor } from "../../engine/tensor.ts";
import { attention, attentionPacked, ATTENTION_VARIANTS, type AttentionVariant } from "../../kernels/attention.ts";
import { mul } from "../../kernels/elementwise.ts";
import { matmul } from "../../kernels/matmul.ts";
import { softmax } from "../../kernels/softmax.ts";
import { checkOp, close, refuses, uniform, type Case } from "../check.ts";
import { attr, count, op } from "../op.ts";
import { attentionPackedReference, attentionReference } from "../reference/attention.ts";

/** What a variant needs; `batched` keeps all scores in memory. */
const kernels = {
  variants: ATTENTION_VARIANTS,
  tuned: "apart" as const,
  order: ["B", "H", "N", "M", "D"],
  needs: (variant: AttentionVariant, { B, H, N, M }: Readonly<Record<string, number>>) =>
    variant === "batched" ? { bindingBytes: 4 * B! * H! * N! * M! } : { invocations: variant === "shared" ? 128 : 64 },
  macs: ({ B, H, N, M, D }: Readonly<Record<string, number>>) => 2 * B! * H! * N! * M! * D!,
  label: ({ B, H, N, D }: Readonly<Record<string, number>>) => `B${B} H${H} N${N} D${D}`,
};

export const ops = [
  op("attention", {
    inputs: { q: "[B,H,N,D]", k: "[B,H,M,D]", v: "[B,H,M,D]" },
    outputs: "y [B,H,N,D]",
    attrs: { scale: attr(z.number().optional(), "a number", undefined, "D^-1/2") },
    ...kernels,
    run: ({ q, k, v }, { scale }, variant) => attention(q, k, v, { scale, variant }),
    reference: ({ q, k, v }, shapes, { scale }) => {
      const [B = 1, H = 1, N = 1, D = 1] = shapes.q;
      return attentionReference(B * H, N, shapes.k[2]!, D, scale)(q, k, v);
    },
    // 197 tokens: plain, 198: distilled; 577 are 384 x 384 images, 50 are patches of 32.
    timed: [
      { sizes: "1x3x198x198x64", on: "software" },
      { sizes: "4x3x198x198x64", quick: true },
      { sizes: "8x3x198x198x64", on: "gpu" },
      { sizes: "64x3x198x198x64", on: "gpu" },
      { sizes: "64x12x197x197x64", on: "gpu" },
      { sizes: "16x12x577x577x64", on: "gpu" },
    ],
  }),
  op("attentionPacked", {
    inputs: { qkv: "[B,M,3*H*D]" },
    outputs: "y [B,N,H*D]",
    attrs: { heads: count(), queries: attr(z.int().positive().optional(), "a positive integer", undefined, "all tokens") },
    ...kernels,
    attrsOf: ({ H, N }) => ({ heads: H!, queries: N! }),
    run: ({ qkv }, { heads, queries }, variant) => attentionPacked(qkv, { heads, queries, variant }),
    reference: ({ qkv }, { qkv: [B = 1, M = 1, width = 3] }, { heads, queries }) =>
      attentionPackedReference(B, M, heads, width / 3 / heads, queries)(qkv),
    timed: [{ sizes: "4x3x198x198x64" }, { sizes: "64x12x197x197x64", on: "gpu" }],
  }),
];

const variants: readonly AttentionVariant[] = ["register", "shared", "batched"];
const others = ATTENTION_VARIANTS.filter((v) => !variants.includes(v));

// q and k scaled up: logits of 1e4, one key far ahead of the others.
const steep = (shape: readonly number[], seed: number) => ({
  shape,
  values: uniform(
    shape.reduce((a, b) => a * b),
    seed,
  ).map((x) => x * 100),
});

/** A GPU's kernels for wide heads take SwiftShader's compiler 20 s and more. */
const compilesLong = (variant: AttentionVariant, D: number): boolean => variant === "shared" && D >= 64;

const separate = ({
  why,
  B,
  H,
  N,
  M,
  D,
  scale,
  variant,
}: {
  why: string;
  B: number;
  H: number;
  N: number;
  M: number;
  D: number;
  scale?: number;
  variant: AttentionVariant;
}): Case => ({
  name: `attention (${variant}): ${why}`,
  long: compilesLong(variant, D),
  run: () =>
    checkOp({
      inputs: [
        [B, H, N, D],
        [B, H, M, D],
        [B, H, M, D],
      ],
      op: (q, k, v) => attention(q, k, v, scale === undefined ? { variant } : { variant, scale }),
      reference: attentionReference(B * H, N, M, D, scale),
      shape: [B, H, N, D],
    }),
});

const packed = ({
  why,
  B,
  N,
  H,
  D,
  queries,
  variant,
}: {
  why: string;
  B: number;
  N: number;
  H: number;
  D: number;
  queries?: number;
  variant: AttentionVariant;
}): Case => ({
  name: `attentionPacked (${variant}): ${why}`,
  long: compilesLong(variant, D),
  run: () =>
    checkOp({
      inputs: [[B, N, 3 * H * D]],
      op: (qkv) => attentionPacked(qkv, { heads: H, queries, variant }),
      reference: attentionPackedReference(B, N, H, D, queries),
      shape: [B, queries ?? N, H * D],
    }),
});

/** Values and gradients against matmul, softmax, matmul: the same thing in three ops with P in memory. */
async function asComposed(variant: AttentionVariant): Promise<void> {
  const shape = [2, 2, 21, 32];
  const results = scope(() => {
    const [q, k, v, dy] = [1, 2, 3, 4].map((seed) => Tensor.from(uniform(2 * 2 * 21 * 32, seed), shape)) as [
      Tensor,
      Tensor,
      Tensor,
      Tensor,
    ];
    for (const t of [q, k, v]) t.requiresGrad = true;
    const fused = attention(q, k, v, { variant });
    const composed = matmul(softmax(mul(matmul(q, k, { transposeB: true }), Tensor.from([32 ** -0.5], [1]))), v);
    return [fused, composed].flatMap((y) => [y, ...gradients(y, [q, k, v], dy)]);
  });
  const values = (await readAll(results)) as Float32Array[];
  for (const t of results) t.dispose();
  ["y", "dq", "dk", "dv"].forEach((name, i) => values[i]!.forEach((x, e) => close(`${name}[${e}]`, x, values[i + 4]![e]!, 1e-5)));
}

export const cases: Case[] = variants
  .flatMap((variant) => [
    separate({ why: "one token, one feature", B: 1, H: 1, N: 1, M: 1, D: 1, variant }),
    separate({ why: "a width that fills no vector, primes everywhere", B: 2, H: 3, N: 13, M: 17, D: 5, scale: 1.5, variant }),
    separate({ why: "one query over keys past a tile", B: 1, H: 2, N: 1, M: 35, D: 32, variant }),
    separate({ why: "queries past a workgroup, one key", B: 1, H: 1, N: 131, M: 1, D: 32, variant }),
    separate({ why: "DeiT, 196 patches and 2 tokens", B: 1, H: 1, N: 198, M: 198, D: 64, variant }),
    separate({ why: "rows in three slices", B: 1, H: 2, N: 19, M: 7, D: 96, variant }),
    separate({ why: "the widest heads", B: 1, H: 1, N: 9, M: 18, D: 128, variant }),
    {
      name: `attention (${variant}): logits of 1e4 do not overflow`,
      run: () =>
        checkOp({
          inputs: [steep([1, 1, 7, 8], 1), steep([1, 1, 9, 8], 2), [1, 1, 9, 8]],
          op: (q, k, v) => attention(q, k, v, { variant }),
          reference: attentionReference(1, 7, 9, 8),
          grads: [2],
          tol: 1e-3,
        }),
    },
    { name: `attention (${variant}): as composed of matmul and softmax`, run: () => asComposed(variant) },
    packed({ why: "one token", B: 2, N: 1, H: 3, D: 4, variant }),
    packed({ why: "a batch of short sequences", B: 2, N: 17, H: 3, D: 32, variant }),
    packed({ why: "a width that fills no vector", B: 2, N: 5, H: 2, D: 3, variant }),
    packed({ why: "DeiT, 196 patches and a token", B: 1, N: 197, H: 1, D: 64, variant }),
    packed({ why: "the first token asks", B: 2, N: 18, H: 3, D: 4, queries: 1, variant }),
    packed({ why: "two of many tokens ask, in a width that fills no vector", B: 2, N: 35, H: 2, D: 3, queries: 2, variant }),
  ])
  .concat(
    others.flatMap((variant) => [
      separate({ why: "queries past a workgroup, keys past a tile", B: 1, H: 2, N: 67, M: 19, D: 32, variant }),
      packed({ why: "primes", B: 2, N: 37, H: 3, D: 16, variant }),
      packed({ why: "19 of 37 tokens ask", B: 2, N: 37, H: 3, D: 16, queries: 19, variant }),
    ]),
  )
  .concat([
    {
      name: "attention: refuses keys of another width",
      run: () =>
        refuses(
          () => attention(Tensor.zeros([1, 2, 3, 4]), Tensor.zeros([1, 2, 3, 5]), Tensor.zeros([1, 2, 3, 5])),
          /attention: expected q \[B,H,N,D\], k and v \[B,H,M,D\], got \[1,2,3,4\], \[1,2,3,5\]/,
        ),
    },
    {
      name: "attention: refuses heads too wide for registers",
      run: () =>
        refuses(
          () => attention(Tensor.zeros([1, 1, 1, 160]), Tensor.zeros([1, 1, 1, 160]), Tensor.zeros([1, 1, 1, 160])),
          /attention: expected a head width D of at most 128, got 160/,
        ),
    },
    {
      name: "attentionPacked: refuses a width that is not three times the heads",
      run: () =>
        refuses(
          () => attentionPacked(Tensor.zeros([1, 2, 16]), { heads: 2 }),
          /attentionPacked: expected qkv \[B,N,3\*2\*D\], got \[1,2,16\]/,
        ),
    },
    {
      name: "attentionPacked: refuses more queries than tokens",
      run: () =>
        refuses(
          () => attentionPacked(Tensor.zeros([1, 2, 12]), { heads: 2, queries: 3 }),
          /attentionPacked: expected 1 to 2 queries for qkv \[1,2,12\], got 3/,
        ),
    },
  ]);

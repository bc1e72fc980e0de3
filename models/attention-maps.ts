/** Attention probabilities of a vision transformer per block and head, and their rollout over blocks. */
import { noGrad } from "../engine/autograd.ts";
import { scope } from "../engine/memory.ts";
import { readAll, type Tensor } from "../engine/tensor.ts";
import { scale } from "../kernels/elementwise.ts";
import { permute, reshape, slice } from "../kernels/movement.ts";
import { matmul } from "../kernels/matmul.ts";
import { softmax } from "../kernels/softmax.ts";
import { prefixTokens, tokens, type DeitConfig } from "./deit.ts";
import type { Model } from "./model.ts";
import type { Params } from "./params.ts";

export interface Attention {
  readonly images: number;
  readonly heads: number;
  /** Tokens: class, distillation and registers if there are any, then patches by rows. */
  readonly tokens: number;
  /** Tokens before the patches. */
  readonly prefix: number;
  readonly distilled: boolean;
  /** Patches per side. */
  readonly side: number;
  /** For each requested block, (images, heads, tokens, tokens): rows are queries and sum to 1. */
  readonly blocks: readonly Float32Array[];
}

/** x: (B, C, H, W), normalised. `blocks` count from 0; all of them unless given. */
export async function attentionProbabilities(model: Model, params: Params, x: Tensor, blocks?: readonly number[]): Promise<Attention> {
  const config = model.config as DeitConfig;
  if (config.arch !== "deit") throw new Error(`attentionMaps: expected a vision transformer, got ${model.name}`);
  const wanted = blocks ?? Array.from({ length: config.depth }, (_, i) => i);
  const wrong = wanted.find((b) => !Number.isInteger(b) || b < 0 || b >= config.depth);
  if (wrong !== undefined) throw new Error(`attentionMaps: expected blocks from 0 to ${config.depth - 1}, got ${wrong}`);
  const found = scope(() =>
    noGrad(() => {
      const kept = new Map<string, Tensor>();
      model.forward(params, x, {
        tap: (name, t) => {
          if (name.endsWith(".attn.qkv")) kept.set(name, t);
        },
      });
      return wanted.map((b) => attentionWeights(kept.get(`blocks.${b}.attn.qkv`)!, config.heads));
    }),
  );
  const data = (await readAll(found)) as Float32Array[];
  for (const t of found) t.dispose();
  return {
    images: x.shape[0]!,
    heads: config.heads,
    tokens: tokens(config),
    prefix: prefixTokens(config),
    distilled: config.distilled,
    side: config.imgSize / config.patchSize,
    blocks: data,
  };
}

/** softmax(q kᵀ / √d), on the GPU. qkv: (B, N, 3 D), what a forward's `tap` is given as "blocks.0.attn.qkv". Returns (B, H, N, N). */
export function attentionWeights(qkv: Tensor, heads: number): Tensor {
  const [B, N, D3] = qkv.shape as [number, number, number];
  const d = D3 / 3 / heads;
  const split = permute(reshape(qkv, [B, N, 3, heads, d]), [2, 0, 3, 1, 4]);
  const [q, k] = [0, 1].map((i) => reshape(slice(split, 0, i, i + 1), [B, heads, N, d]));
  return softmax(scale(matmul(q!, k!, { transposeB: true }), 1 / Math.sqrt(d)));
}

/** How much `token` (0: class, 1: distillation) of an image attends to each patch, per head, in `attention.blocks[block]`. */
export function headMaps({ heads, tokens: N, prefix, blocks }: Attention, image: number, block: number, token: number): Float32Array[] {
  return Array.from({ length: heads }, (_, h) => {
    const row = ((image * heads + h) * N + token) * N;
    return blocks[block]!.slice(row + prefix, row + N);
  });
}

/**
 * How much of each patch reaches `token` over all blocks: row `token` of A_L … A_1, A = (mean over heads + identity) / 2. The identity is
 * the residual path. Abnar and Zuidema 2020, https://arxiv.org/abs/2005.00928
 */
export function rollout({ heads, tokens: N, prefix, blocks }: Attention, image: number, token: number): Float32Array {
  let row = new Float64Array(N);
  row[token] = 1;
  for (const block of blocks.toReversed()) {
    const next = Float64Array.from(row, (v) => v / 2);
    for (let h = 0; h < heads; h++) {
      for (let n = 0; n < N; n++) {
        const share = row[n]! / (2 * heads);
        const from = ((image * heads + h) * N + n) * N;
        for (let m = 0; m < N; m++) next[m]! += share * block[from + m]!;
      }
    }
    row = next;
  }
  return Float32Array.from(row.subarray(prefix));
}

/** How much the class token (and, if there is one, the distillation token) attends to each patch: mean over heads. */
export interface AttentionMap {
  /** Patches per side. */
  readonly side: number;
  /** [images][side * side], each summing to 1 or less (the rest goes to the tokens). */
  readonly cls: readonly Float32Array[];
  readonly dist: readonly Float32Array[] | null;
}

/** x: (B, C, H, W), normalised. `block` counts from 0; the last one unless given. */
export async function attentionMaps(model: Model, params: Params, x: Tensor, block?: number): Promise<AttentionMap> {
  const attention = await attentionProbabilities(model, params, x, [block ?? (model.config as DeitConfig).depth - 1]);
  const means = (token: number) => Array.from({ length: attention.images }, (_, image) => mean(headMaps(attention, image, 0, token)));
  return { side: attention.side, cls: means(0), dist: attention.distilled ? means(1) : null };
}

const mean = (maps: readonly Float32Array[]): Float32Array => maps[0]!.map((_, i) => maps.reduce((sum, m) => sum + m[i]!, 0) / maps.length);

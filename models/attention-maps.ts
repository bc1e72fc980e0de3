/** What a vision transformer looks at: attention probabilities of one block, from its queries and keys. */
import { noGrad } from "../engine/autograd.ts";
import { scope } from "../engine/memory.ts";
import { readAll, type Tensor } from "../engine/tensor.ts";
import { prefixTokens, tokens, type DeitConfig } from "./deit.ts";
import type { Model } from "./model.ts";
import type { Params } from "./params.ts";

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
  const config = model.config as DeitConfig;
  if (config.arch !== "deit") throw new Error(`attentionMaps: expected a vision transformer, got ${model.name}`);
  const which = block ?? config.depth - 1;
  const qkv = scope(() => noGrad(() => {
    let found: Tensor | null = null;
    model.forward(params, x, { tap: (name, t) => { if (name === `blocks.${which}.attn.qkv`) found = t; } });
    if (!found) throw new Error(`attentionMaps: expected a block below ${config.depth}, got ${which}`);
    return found as Tensor;
  }));
  const [data] = (await readAll([qkv])) as Float32Array[];
  qkv.dispose();
  const [B, N, H, D, q] = [x.shape[0]!, tokens(config), config.heads, config.dim, prefixTokens(config)];
  const rows = (token: number) => Array.from({ length: B }, (_, b) => attend(data!, b, token, { N, H, D }).subarray(q));
  return { side: config.imgSize / config.patchSize, cls: rows(0), dist: config.distilled ? rows(1) : null };
}

/** One token's attention over all tokens, mean over heads. qkv: (B, N, 3, H, D/H). */
function attend(qkv: Float32Array, b: number, token: number, { N, H, D }: { N: number; H: number; D: number }): Float32Array {
  const d = D / H;
  const mean = new Float32Array(N);
  for (let h = 0; h < H; h++) {
    const query = (b * N + token) * 3 * D + h * d;
    const scores = Array.from({ length: N }, (_, n) => {
      const key = (b * N + n) * 3 * D + D + h * d;
      let s = 0;
      for (let i = 0; i < d; i++) s += qkv[query + i]! * qkv[key + i]!;
      return s / Math.sqrt(d);
    });
    const max = Math.max(...scores);
    const e = scores.map((s) => Math.exp(s - max));
    const sum = e.reduce((a, v) => a + v, 0);
    for (let n = 0; n < N; n++) mean[n]! += e[n]! / sum / H;
  }
  return mean;
}

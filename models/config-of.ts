/** Which vision transformer a state is of, told by its names and shapes. */
import { isEva, isPacked } from "./checkpoints/eva-names.ts";
import { DEIT, type DeitConfig } from "./deit-config.ts";
import type { State } from "./params.ts";

/** Patches per side that stand for any number, where no shape depends on it. */
const ANY_SIDE = 16;

/** The config that a state's shapes tell, but for the number of heads, on which no shape depends. Throws where they are of no such model. */
export function deitConfigOf(state: State): DeitConfig {
  const shape = (name: string, rank: number): readonly number[] => {
    const found = state.get(name)?.shape;
    if (found?.length !== rank) throw new Error(`weights: expected ${name} with ${rank} axes, got ${found ? `[${found}]` : "none"}`);
    return found;
  };
  const distilled = state.has("dist_token");
  const [dim, inChans, patchSize] = shape("patch_embed.proj.weight", 4);
  const regTokens = state.has("reg_token") ? shape("reg_token", 3)[1]! : 0;
  const eva = isEva(state);
  const rope = !eva ? null : state.has("pos_embed") ? "eva02" : "dinov3";
  const rows = rope === "dinov3" ? ANY_SIDE ** 2 + 1 + regTokens : shape("pos_embed", 3)[1]!;
  const [withTokens, alone] = [rows - (distilled ? 2 : 1) - regTokens, rows].map(Math.sqrt);
  const posEmbedCls = Number.isInteger(withTokens);
  if (!posEmbedCls && !Number.isInteger(alone))
    throw new Error(`weights: expected pos_embed of a square of patches, got [${state.get("pos_embed")!.shape}]`);
  const headless = !state.has("head.weight") && !state.has("head.bias");
  const depth = new Set([...state.keys()].map((name) => /^blocks\.(\d+)\./.exec(name)?.[1]).filter((i) => i !== undefined)).size;
  const fcNorm = state.has("fc_norm.weight");
  const [numClasses, width] = headless ? [0, dim!] : shape("head.weight", 2);
  return {
    ...DEIT,
    imgSize: (posEmbedCls ? withTokens! : alone!) * patchSize!,
    patchSize: patchSize!,
    inChans: inChans!,
    dim: dim!,
    depth,
    heads: 1,
    mlpRatio: shape("blocks.0.mlp.fc2.weight", 2)[1]! / dim!,
    numClasses: numClasses!,
    distilled,
    layerScale: state.has(eva ? "blocks.0.gamma_1" : "blocks.0.ls1.gamma") ? 1e-5 : null,
    regTokens,
    posEmbedCls,
    preNorm: state.has("norm_pre.weight"),
    qkvBias: ["qkv.bias", "q_bias", "q_proj.bias"].some((name) => state.has(`blocks.0.attn.${name}`)),
    pool: width === 2 * dim! ? "both" : fcNorm ? "mean" : "cls",
    finalNorm: fcNorm || state.has("norm.weight"),
    fcNorm,
    rope,
    qkvFused: !state.has("blocks.0.attn.q_proj.weight"),
    swiglu: state.has("blocks.0.mlp.fc1_g.weight") ? "split" : isPacked(state) ? "packed" : null,
    mlpNorm: state.has("blocks.0.mlp.norm.weight"),
  };
}

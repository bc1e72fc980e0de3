/**
 * DINOv3's parameter names as timm, its own repository and Hugging Face's `DINOv3ViTModel` have them, and EVA-02's as timm and its own
 * repository do; Hugging Face has no class for EVA-02.
 *
 * https://github.com/facebookresearch/dinov3/blob/main/dinov3/models/vision_transformer.py
 * https://github.com/huggingface/transformers/blob/main/src/transformers/models/dinov3_vit/modeling_dinov3_vit.py
 * https://github.com/baaivision/EVA/tree/master/EVA-02
 */
import type { State } from "../params.ts";
import { quote } from "../shown.ts";
import { fuse, PARTS, split, type Weight } from "./qkv.ts";

type Row = readonly [timm: string, hf: string];

/** Whole names outside of blocks, and the modules there. */
const OUTSIDE: readonly Row[] = [
  ["cls_token", "embeddings.cls_token"],
  ["reg_token", "embeddings.register_tokens"],
  ...["weight", "bias"].flatMap((kind): Row[] => [
    [`patch_embed.proj.${kind}`, `embeddings.patch_embeddings.${kind}`],
    [`norm.${kind}`, `norm.${kind}`],
    [`head.${kind}`, `classifier.${kind}`],
  ]),
];
/** Within a block. timm has query, key and value as one `attn.qkv`, and of their biases two. */
const BLOCK: readonly Row[] = [
  ["gamma_1", "layer_scale1.lambda1"],
  ["gamma_2", "layer_scale2.lambda1"],
  ["attn.q_bias", "attention.q_proj.bias"],
  ["attn.v_bias", "attention.v_proj.bias"],
  ...PARTS.map((part): Row => [`attn.${part}.weight`, `attention.${part}_proj.weight`]),
  ...["weight", "bias"].flatMap((kind): Row[] => [
    [`norm1.${kind}`, `norm1.${kind}`],
    [`norm2.${kind}`, `norm2.${kind}`],
    [`attn.proj.${kind}`, `attention.o_proj.${kind}`],
    [`mlp.fc1_g.${kind}`, `mlp.gate_proj.${kind}`],
    [`mlp.fc1_x.${kind}`, `mlp.up_proj.${kind}`], // of a gated MLP; else of `fc1`
    [`mlp.fc2.${kind}`, `mlp.down_proj.${kind}`],
  ]),
];

const blockOf = (gated: boolean): readonly Row[] => (gated ? BLOCK : BLOCK.map(([timm, hf]) => [timm.replace(".fc1_x.", ".fc1."), hf]));

/** Whether a state with timm's names, or those of the models' own repositories, is of a DINOv3 or EVA-02. */
export const isEva = (state: State): boolean =>
  ["storage_tokens", "blocks.0.attn.q_bias", "blocks.0.attn.q_proj.weight", "blocks.0.mlp.fc1_g.weight"].some((name) => state.has(name)) ||
  (state.has("blocks.0.gamma_1") && !state.has("pos_embed")) ||
  isPacked(state);

/** Whether the first block's MLP makes gates and values by one layer. */
export const isPacked = (state: State): boolean => {
  const [first, second] = ["fc1", "fc2"].map((name) => state.get(`blocks.0.mlp.${name}.weight`)?.shape);
  return first !== undefined && first[0] === 2 * (second?.[1] ?? 0);
};

export const isHfDinov3 = (name: string): boolean => /^(model\.)?layer\.\d+\.attention\.q_proj\.weight$/.test(name);

/** In Hugging Face's files, and in no model here: of pretraining, and angles, which are made anew. */
const HF_EXTRA = /^(embeddings\.mask_token$|rope_embeddings\.)/;

/** From the names of Hugging Face's `DINOv3ViTModel`; version 5 has its layers behind `model.`, though not in its own files. */
export function dinov3ToTimm(hf: State): { readonly state: State; readonly ignored: readonly string[] } {
  const rows = blockOf([...hf.keys()].some((name) => name.endsWith(".mlp.gate_proj.weight")));
  const timm = new Map<string, Weight>();
  const ignored: string[] = [];
  for (const [name, values] of hf) {
    const [, block, own] = /^(?:model\.)?layer\.(0|[1-9]\d{0,3})\.(.*)$/.exec(name) ?? [];
    const found = (block === undefined ? OUTSIDE : rows).find(([, other]) => other === (own ?? name))?.[0];
    if (HF_EXTRA.test(name)) ignored.push(name);
    else if (found === undefined) throw new Error(`weights: expected Hugging Face's names of a DINOv3, got ${quote(name)}`);
    else timm.set(block === undefined ? found : `blocks.${block}.${found}`, values);
  }
  return { state: fuse(timm), ignored };
}

/** The inverse. The mask token, which is for pretraining alone, is 0. */
export function timmToDinov3(timm: State): State {
  const rows = blockOf(timm.has("blocks.0.mlp.fc1_g.weight"));
  const hf = new Map<string, Weight>();
  const set = (name: string, values: Weight): void => {
    const [, block, own] = /^blocks\.(0|[1-9]\d{0,3})\.(.*)$/.exec(name) ?? [];
    const found = (block === undefined ? OUTSIDE : rows).find(([other]) => other === (own ?? name))?.[1];
    if (found === undefined) throw new Error(`weights: expected timm's names of a DINOv3, got ${quote(name)}`);
    hf.set(block === undefined ? found : `layer.${block}.${found}`, values);
  };
  for (const [name, values] of timm) {
    if (name.endsWith(".attn.qkv.weight")) split(name, values).forEach((third, i) => set(name.replace("qkv", PARTS[i]!), third));
    else set(name, values);
    if (name === "cls_token") hf.set("embeddings.mask_token", { shape: values.shape, data: new Float32Array(values.data.length) });
  }
  return hf;
}

/** In the repositories' files: pretraining's tokens and heads, angles, and what says which biases of `attn.qkv.bias` are of a key, so 0. */
const OWN_EXTRA = /^(mask_token$|lm_head\.|local_cls_norm\.)|(^|\.)rope(_embed)?\.|\.bias_mask$/;

/** From the models' own repositories' names, which are timm's but for some. DINOv3's bias of query, key and value loses its middle third. */
export function ownEvaToTimm(state: State): { readonly state: State; readonly ignored: readonly string[] } {
  const ignored = [...state.keys()].filter((name) => OWN_EXTRA.test(name));
  const pretrained = state.has("pos_embed") && state.has("mask_token");
  const apart = state.has("blocks.0.attn.q_proj.weight");
  const kept = [...state].filter(([name]) => !OWN_EXTRA.test(name));
  const entries = kept.flatMap(([name, values]): [string, Weight][] => {
    const [, attn] = /^(blocks\.\d+\.attn)\.qkv\.bias$/.exec(name) ?? [];
    if (attn === undefined) return [[ownName(name, apart, pretrained), values]];
    const D = values.shape[0]! / 3;
    return [
      [`${attn}.q_bias`, { shape: [D], data: values.data.slice(0, D) }],
      [`${attn}.v_bias`, { shape: [D], data: values.data.slice(2 * D) }],
    ];
  });
  return { state: new Map(entries), ignored };
}

const ownName = (name: string, apart: boolean, pretrained: boolean): string =>
  name
    .replace(/^storage_tokens$/, "reg_token")
    .replace(/\.ls([12])\.gamma$/, ".gamma_$1")
    .replace(/\.mlp\.w12\./, ".mlp.fc1.")
    .replace(/\.mlp\.w1\./, ".mlp.fc1_g.")
    .replace(/\.mlp\.w2\./, ".mlp.fc1_x.")
    .replace(/\.mlp\.w3\./, ".mlp.fc2.")
    .replace(/\.mlp\.ffn_ln\./, ".mlp.norm.")
    .replace(/\.attn\.([qv])_bias$/, apart ? ".attn.$1_proj.bias" : "$&")
    .replace(/^norm\./, pretrained ? "fc_norm." : "$&");

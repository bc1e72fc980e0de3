/**
 * A vision transformer's parameter names as timm and as Hugging Face's transformers have them. Hugging Face keeps query, key and value apart
 * where timm has one `qkv` (rows 0…D-1, D…2D-1, 2D…3D-1); nothing is transposed. The distilled model is a `DeiTForImageClassificationWithTeacher`
 * (or `DeiTForImageClassification`, which lacks the second head), a plain one a `ViTForImageClassification`, one with LayerScale a
 * `Dinov2ForImageClassification` (dinov2-names.ts); the encoder of a `ViTMAEForPreTraining` is read too. RegNetY, ConvNeXt and DINOv3 have files of
 * their own. Names of the models' own repositories that timm has otherwise count as timm's.
 *
 * https://github.com/huggingface/transformers/blob/main/src/transformers/models/deit/convert_deit_timm_to_pytorch.py
 */
import { quote } from "../shown.ts";
import type { State } from "../params.ts";
import {
  convnextShaped,
  convnextToHuggingFace,
  convnextToTimm,
  isHfConvNext,
  isOwnConvNext,
  ownConvnextToTimm,
  withMatrices,
} from "./convnext-names.ts";
import { DINOV2_BLOCK, dinov2ToTimm, isDinov2, LAYER_SCALES, timmToDinov2 } from "./dinov2-names.ts";
import { dinov3ToTimm, isEva, isHfDinov3, ownEvaToTimm, timmToDinov3 } from "./eva-names.ts";
import { fuse, split, type Weight } from "./qkv.ts";
import { isHfRegNet, regnetToHuggingFace, regnetToTimm } from "./regnet-names.ts";

/** The naming that a state has. */
export type Naming = "timm" | "hf";

/** timm's name, and Hugging Face's: 4.x (the one in files), and where it differs 5.x. Weight and bias each, unless it ends in a token. */
const STEM: readonly (readonly [timm: string, hf: string])[] = [
  ["cls_token", "embeddings.cls_token"],
  ["pos_embed", "embeddings.position_embeddings"],
  ["dist_token", "embeddings.distillation_token"],
  ["register_tokens", "embeddings.register_tokens"],
  ["mask_token", "embeddings.mask_token"],
  ["patch_embed.proj.weight", "embeddings.patch_embeddings.projection.weight"],
  ["patch_embed.proj.bias", "embeddings.patch_embeddings.projection.bias"],
  ["norm.weight", "layernorm.weight"],
  ["norm.bias", "layernorm.bias"],
];
const BLOCK: readonly (readonly [timm: string, hf4: string, hf5: string])[] = [
  ["norm1", "layernorm_before", "layernorm_before"],
  ["attn.q", "attention.attention.query", "attention.q_proj"],
  ["attn.k", "attention.attention.key", "attention.k_proj"],
  ["attn.v", "attention.attention.value", "attention.v_proj"],
  ["attn.proj", "attention.output.dense", "attention.o_proj"],
  ["norm2", "layernorm_after", "layernorm_after"],
  ["mlp.fc1", "intermediate.dense", "mlp.fc1"],
  ["mlp.fc2", "output.dense", "mlp.fc2"],
];

const HF_HEADS = ["classifier", "cls_classifier", "distillation_classifier"];
const HF_NAME =
  /^((deit|vit|dinov2|dinov2_with_registers|regnet|convnext)\.|embeddings\.|embedder\.|encoder\.|(cls_|distillation_)?classifier\.)/;

export const namingOf = (state: State): Naming => ([...state.keys()].some((name) => HF_NAME.test(name)) ? "hf" : "timm");

export interface Converted {
  readonly state: State;
  /** Names left out: those of a pooler, which no classifier reads, and of pretraining: a mask token, a decoder. */
  readonly ignored: readonly string[];
}

/** Of DINOv2's and MAE's own files and their Hugging Face kin: what no model here has. */
const PRETRAINING = /^(mask_token$|decoder[._]|embeddings\.mask_token$|pooler\.dense\.(weight|bias)$)/;

/** DeiT III's own names of LayerScale. */
const OWN_SCALE = /^(blocks\.\d+)\.gamma_([12])$/;

/** From the names of a model's own repository, which are timm's but for some. */
function ownToTimm(state: State): Converted {
  const names = [...state.keys()];
  if (names.some(isOwnConvNext)) return { state: convnextShaped(renamed(state, ownConvnextToTimm)), ignored: [] };
  if (isEva(state)) {
    const { state: timm, ignored } = ownEvaToTimm(state);
    return { state: inOrder(timm), ignored };
  }
  const ignored = state.has("patch_embed.proj.weight") ? names.filter((name) => PRETRAINING.test(name)) : [];
  if (ignored.length === 0 && !names.some((name) => OWN_SCALE.test(name) || name === "register_tokens")) return { state, ignored };
  const kept = new Map([...state].filter(([name]) => !ignored.includes(name)));
  const bare = renamed(kept, (name) => name.replace(OWN_SCALE, "$1.ls$2.gamma"));
  return { state: inOrder(bare.has("register_tokens") ? dinov2ToTimm(bare) : bare), ignored };
}

/** timm's names, in the order of its state dict; a state that has them already, of any model, stays as it is. */
export function toTimm(state: State): Converted {
  if (namingOf(state) === "timm") return ownToTimm(state);
  const names = [...state.keys()];
  if (names.some(isHfConvNext)) {
    const rename = (name: string) => convnextToTimm(name) ?? fail("Hugging Face's names of a ConvNeXt", quote(name));
    return { state: convnextShaped(renamed(state, rename)), ignored: [] };
  }
  if (names.some(isHfRegNet))
    return { state: renamed(state, (name) => regnetToTimm(name) ?? fail("Hugging Face's names of a RegNetY", quote(name))), ignored: [] };
  if (names.some(isHfDinov3)) {
    const { state: timm, ignored } = dinov3ToTimm(state);
    return { state: inOrder(timm), ignored };
  }
  const distilled = names.some((n) => n.endsWith("embeddings.distillation_token"));
  const two = distilled && !state.has("classifier.weight");
  const heads = two ? { cls_classifier: "head", distillation_classifier: "head_dist" } : { classifier: "head" };
  for (const head of HF_HEADS) {
    if (!Object.hasOwn(heads, head) && state.has(`${head}.weight`)) {
      fail(
        `${Object.keys(heads).join(" and ")} of a model with${distilled ? "" : "out"} embeddings.distillation_token`,
        quote(`${head}.weight`),
      );
    }
  }
  const bare = (name: string) => name.replace(/^(deit|vit|dinov2|dinov2_with_registers)\./, "");
  const ignored = names.filter((name) => PRETRAINING.test(bare(name)));
  const kept = new Map([...state].filter(([name]) => !ignored.includes(name)));
  const timm = fuse(renamed(kept, (name) => timmName(bare(name), heads) ?? fail("Hugging Face's names of a DeiT or ViT", quote(name))));
  return { state: inOrder(isDinov2(timm) ? dinov2ToTimm(timm) : timm), ignored };
}

function renamed(state: State, rename: (name: string) => string): State {
  const out = new Map<string, Weight>();
  for (const [name, values] of state) {
    const to = rename(name);
    if (out.has(to)) fail(`one tensor for ${to}`, `${quote(name)} besides another`);
    out.set(to, values);
  }
  return out;
}

function timmName(bare: string, heads: Readonly<Record<string, string>>): string | null {
  const stem = STEM.find(([, hf]) => hf === bare);
  if (stem) return stem[0];
  const [, layer, own] = /^(?:encoder\.layer|layers)\.(0|[1-9]\d{0,3})\.(layer_scale.*)$/.exec(bare) ?? [];
  const scale = LAYER_SCALES.find(([, hf]) => hf === own);
  if (scale) return `blocks.${layer}.${scale[0]}`;
  const [, module, kind] = /^(.*)\.(weight|bias)$/.exec(bare) ?? [];
  if (module === undefined) return null;
  if (Object.hasOwn(heads, module)) return `${heads[module]}.${kind}`;
  const [, encoder, index, part] = /^(encoder\.layer|layers)\.(0|[1-9]\d{0,3})\.(.*)$/.exec(module) ?? [];
  const row = [...BLOCK, ...DINOV2_BLOCK].find(([, hf4, hf5]) => (encoder === "layers" ? hf5 : hf4) === part);
  return row ? `blocks.${index}.${row[0]}.${kind}` : null;
}

/** A block's modules and vectors, in timm's order. */
const WITHIN = [
  ...[
    "gamma_1",
    "gamma_2",
    "norm1",
    "attn.q_bias",
    "attn.v_bias",
    "attn.qkv",
    "attn.q_proj",
    "attn.k_proj",
    "attn.v_proj",
    "attn.proj",
    "ls1",
  ],
  ...["norm2", "mlp.fc1", "mlp.fc1_g", "mlp.fc1_x", "mlp.norm", "mlp.fc2", "ls2"],
];

/** timm's order: stem, blocks by number, norm, heads. */
function inOrder(state: State): State {
  const rank = (name: string): number[] => {
    const [, index, inner = ""] = /^blocks\.(\d+)\.(.*)$/.exec(name) ?? [];
    const within = WITHIN.findIndex((m) => inner === m || inner.startsWith(`${m}.`));
    const stem = ["cls_token", "reg_token", "pos_embed", "dist_token", "patch_embed", "norm_pre"].findIndex((s) => name.startsWith(s));
    const last = ["norm", "fc_norm", "head.", "head_dist"].findIndex((s) => name.startsWith(s));
    return [
      stem >= 0 ? 0 : index !== undefined ? 1 : 2,
      index === undefined ? Math.max(stem, 0) : Number(index),
      index === undefined ? last : within,
      name.endsWith("bias") ? 1 : 0,
    ];
  };
  return new Map(
    [...state]
      .map(([name, values]) => ({ name, values, rank: rank(name) }))
      .sort((a, b) => a.rank.map((r, i) => r - b.rank[i]!).find((d) => d !== 0) ?? 0)
      .map(({ name, values }) => [name, values]),
  );
}

/**
 * Hugging Face's names in its files (4.x), from either naming; `deit.` for a model with a distillation token, `dinov2.` or
 * `dinov2_with_registers.` for one with LayerScale, `vit.` for a plain one. Without a classifier they stand bare, as its `ViTModel`,
 * `DeiTModel`, `Dinov2Model` and `RegNetModel` have them, and `DINOv3ViTModel` always.
 */
export function toHuggingFace(given: State): Converted {
  const { state: timm, ignored } = toTimm(given);
  const dinov2 = isDinov2(timm);
  const state = dinov2 ? timmToDinov2(timm) : timm;
  const headless = ![...state.keys()].some((name) => name.startsWith("head"));
  if (state.has("stem.conv.weight")) {
    const rename = (name: string) => regnetToHuggingFace(name) ?? fail("timm's names of a RegNetY", quote(name));
    return { state: renamed(state, (name) => (headless ? rename(name).replace(/^regnet\./, "") : rename(name))), ignored };
  }
  if (state.has("stem.0.weight")) {
    const rename = (name: string) => convnextToHuggingFace(name) ?? fail("timm's names of a ConvNeXt", quote(name));
    const matrices = withMatrices(state, (shape) => shape.slice(0, 2));
    const bare = !state.has("head.fc.weight");
    return { state: renamed(matrices, (name) => (bare ? rename(name).replace(/^convnext\./, "") : rename(name))), ignored };
  }
  const other = state.has("layer1.0.conv1.weight") ? "a ResNet" : isEva(state) && state.has("pos_embed") ? "an EVA-02" : null;
  if (other) fail("a DeiT, ViT, DINOv3, RegNetY or ConvNeXt for Hugging Face's names", other);
  if (isEva(state)) return { state: timmToDinov3(state), ignored };
  const distilled = state.has("dist_token");
  const family = dinov2 ? (state.has("reg_token") ? "dinov2_with_registers" : "dinov2") : distilled ? "deit" : "vit";
  const prefix = headless ? "" : `${family}.`;
  const heads: Readonly<Record<string, string>> = state.has("head_dist.weight")
    ? { head: "cls_classifier", head_dist: "distillation_classifier" }
    : { head: "classifier" };
  const hf = new Map<string, Weight>();
  const rows = dinov2 ? DINOV2_BLOCK : BLOCK;
  for (const [name, values] of state) {
    const stem = STEM.find(([own]) => own === (name === "reg_token" ? "register_tokens" : name));
    const [, block, own] = /^blocks\.(0|[1-9]\d{0,3})\.(ls.*)$/.exec(name) ?? [];
    const scale = LAYER_SCALES.find(([gamma]) => gamma === own);
    const [, module, kind] = /^(.*)\.(weight|bias)$/.exec(name) ?? [];
    const [, index, part] = /^blocks\.(0|[1-9]\d{0,3})\.(.*)$/.exec(module ?? "") ?? [];
    const row = rows.find(([own]) => own === part && !/^attn\.[qkv]$/.test(own));
    const layer = `${prefix}encoder.layer.${index}.`;
    if (stem) hf.set(prefix + stem[1], values);
    else if (module !== undefined && Object.hasOwn(heads, module)) hf.set(`${heads[module]}.${kind}`, values);
    else if (row) hf.set(`${layer}${row[1]}.${kind}`, values);
    else if (scale) hf.set(`${prefix}encoder.layer.${block}.${scale[1]}`, values);
    else if (part === "attn.qkv") split(name, values).forEach((third, i) => hf.set(`${layer}${rows[1 + i]![1]}.${kind}`, third));
    else fail(`timm's names of a ${distilled ? "distilled" : "plain"} DeiT`, quote(name));
  }
  return { state: hf, ignored };
}

function fail(expected: string, got: string): never {
  throw new Error(`weights: expected ${expected}, got ${got}`);
}

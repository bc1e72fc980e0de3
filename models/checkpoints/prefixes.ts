/**
 * Prefixes that wrappers put before a model's names: data-parallel training `module.`, torch.compile `_orig_mod.`, Lightning `model.`,
 * detection and self-supervised code `backbone.`, `teacher.` and so on. A prefix is found by the first layer's weight, which every model here has.
 */
import { quote } from "../shown.ts";

/** The first layer's weight, with timm's or Hugging Face's name (whose `vit.`, `deit.`, `dinov2.`, `regnet.` and `convnext.` are no wrapper's). */
const FIRST_LAYER =
  /^((?:.*?\.)??)(?:patch_embed\.proj|stem\.(?:conv|0)|downsample_layers\.0\.0|(?:convnext\.)?embeddings\.patch_embeddings|(?<!layer\d\.\d{1,3}\.)conv1|(?:vit\.|deit\.|dinov2\.|dinov2_with_registers\.)?embeddings\.patch_embeddings\.projection|(?:regnet\.)?embedder\.embedder\.convolution)\.weight$/s;

/** A classifier, which a wrapper may hold beside the model instead of inside it. */
const HEAD = /^(head|head_dist|head\.fc|fc|classifier|classifier\.1|cls_classifier|distillation_classifier)\.(weight|bias)$/;

/** Around any state dict, of a model known here or not. */
const WRAPPED = /^(module\.|_orig_mod\.)+/;

export interface Unwrapped<T> {
  readonly entries: readonly (readonly [name: string, value: T])[];
  /** Names that are no part of the model. */
  readonly ignored: readonly string[];
}

/**
 * Entries of a state dict without the prefix of their wrappers. `key` names one of several models in it. Other parts of a wrapper are left
 * out, except a classifier if the model has none. Throws where there are several models and no `key`.
 */
export function unwrapped<T>(all: readonly (readonly [string, T])[], key?: string): Unwrapped<T> {
  const chosen = key === undefined ? [] : all.filter(([name]) => name.startsWith(`${key}.`));
  const entries = chosen.length > 0 ? chosen : all;
  const found = new Set(entries.flatMap(([name]) => FIRST_LAYER.exec(name)?.[1] ?? []));
  if (found.size > 1) {
    const names = [...found].map((prefix) => quote(prefix.replace(/\.$/, "") || "(none)"));
    throw new Error(`weights: expected one model (convert --key takes one of several), got names behind ${names.slice(0, 8).join(", ")}`);
  }
  const [prefix = commonPrefix(entries.map(([name]) => name))] = found;
  if (prefix === "") return { entries, ignored: [] };
  const inside = entries.filter(([name]) => name.startsWith(prefix)).map(([name, value]) => [name.slice(prefix.length), value] as const);
  const heads = inside.some(([name]) => HEAD.test(name)) ? [] : headsBeside(entries, prefix);
  const taken = new Set(heads.map(({ name }) => name));
  return {
    entries: [...inside, ...heads.map(({ bare, value }) => [bare, value] as const)],
    ignored: entries.map(([name]) => name).filter((name) => !name.startsWith(prefix) && !taken.has(name)),
  };
}

/** A classifier beside the model, behind any outer part of its prefix: `module.head.weight` beside `module.backbone.…`. */
function headsBeside<T>(entries: readonly (readonly [string, T])[], prefix: string): { name: string; bare: string; value: T }[] {
  const parts = prefix.split(".").slice(0, -1);
  for (let n = parts.length - 1; n >= 0; n--) {
    const outer = parts
      .slice(0, n)
      .map((part) => `${part}.`)
      .join("");
    const heads = entries.filter(([name]) => name.startsWith(outer) && HEAD.test(name.slice(outer.length)));
    if (heads.length > 0) return heads.map(([name, value]) => ({ name, bare: name.slice(outer.length), value }));
  }
  return [];
}

/** Of names that all begin with `module.` and the like. */
function commonPrefix(names: readonly string[]): string {
  const prefix = WRAPPED.exec(names[0] ?? "")?.[0] ?? "";
  return names.every((name) => name.startsWith(prefix)) ? prefix : "";
}

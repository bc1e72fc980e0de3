/**
 * LoRA adapters as the library PEFT keeps them: a folder with adapter_model.safetensors (A and B of each adapted layer, and the classifiers,
 * which are trained whole) and adapter_config.json. Source: `peft.LoraConfig` and `peft.get_peft_model_state_dict`, version 0.21.
 */
import { show, type Shape } from "../../engine/shape.ts";
import { isHead } from "../heads.ts";
import { LORA_TARGETS, matricesOf, type Learned, type Lora } from "../lora.ts";
import type { Model } from "../model.ts";
import type { State } from "../params.ts";
import { shown, shownValue } from "../shown.ts";
import { toF32 } from "./dtypes.ts";
import { parseSafetensors, writeSafetensors } from "./safetensors.ts";

export const ADAPTER_FILES = { weights: "adapter_model.safetensors", config: "adapter_config.json" } as const;

const PREFIX = "base_model.model.";
const layerOf = (weight: string): string => weight.replace(/\.weight$/, "");

/** The two files. `learned`: values by the names of the adapted model's parameters. */
export function writeAdapter(
  model: Model,
  { rank, alpha, adapted, heads }: Lora,
  learned: State,
): { weights: Uint8Array; config: Uint8Array } {
  const names: [from: string, to: string][] = [
    ...adapted.flatMap(({ name }): [string, string][] => {
      const { a, b } = matricesOf(name);
      return [
        [a, `${layerOf(name)}.lora_A.weight`],
        [b, `${layerOf(name)}.lora_B.weight`],
      ];
    }),
    ...heads.map(({ name }): [string, string] => [name, name]),
  ];
  const entries = names.map(([from, to]) => [PREFIX + to, { dtype: "F32" as const, ...learned.get(from)! }] as const);
  const config = {
    peft_type: "LORA",
    task_type: null,
    base_model_name_or_path: model.name,
    r: rank,
    lora_alpha: alpha,
    lora_dropout: 0,
    // Layers within a block: "proj" alone would also be the patch embedding's.
    target_modules: Object.values(LORA_TARGETS)
      .flat()
      .filter((layer) => adapted.some(({ name }) => name.endsWith(`.${layer}.weight`))),
    modules_to_save: [...new Set(heads.map(({ name }) => name.replace(/\.(weight|bias)$/, "")))],
    bias: "none",
    fan_in_fan_out: false,
    inference_mode: true,
  };
  return {
    weights: writeSafetensors(new Map(entries), { format: "pt" }),
    config: new TextEncoder().encode(`${JSON.stringify(config, null, 2)}\n`),
  };
}

/**
 * An adapter by PEFT or by `writeAdapter`, for `mergedLora` with `state`, the weights that it was trained on. Throws for what it cannot hold:
 * other methods than LoRA, ranks that differ between layers, trained biases, and tensors that are not of this state.
 */
export function readAdapter(state: State, weights: Uint8Array, config: Uint8Array): { lora: Learned; learned: State } {
  const { rank, alpha } = readConfig(config);
  const learned = new Map<string, { shape: Shape; data: Float32Array }>();
  for (const [name, tensor] of parseSafetensors(weights).tensors) {
    const part = /^base_model\.model\.(.+)\.lora_([AB])\.weight$/.exec(name);
    const own = part ? `${part[1]}.weight` : name.slice(PREFIX.length);
    const [O, I] = state.get(own)?.shape ?? [];
    const { shape } = tensor;
    // A classifier may have other classes than the one it replaces.
    const expected = part ? (part[2] === "A" ? [rank, I] : [O, rank]) : [shape[0], ...(own.endsWith(".weight") ? [I] : [])];
    if (!name.startsWith(PREFIX) || !state.has(own) || state.get(own)!.shape.length > 2 || !(part || isHead(own)))
      throw new Error(`adapter: expected matrices of the weights' linear layers and classifiers, got ${shown(name)} ${show(shape)}`);
    if (String(shape) !== String(expected)) throw new Error(`adapter: expected ${shown(name)} [${expected}], got ${show(shape)}`);
    learned.set(part ? matricesOf(own)[part[2] === "A" ? "a" : "b"] : own, { shape, data: toF32(tensor) });
  }
  const specs = [...state].map(([name, { shape }]) => ({ name, shape }));
  const adapted = specs.filter(({ name }) => learned.has(matricesOf(name).a) || learned.has(matricesOf(name).b));
  const half = adapted.find(({ name }) => !learned.has(matricesOf(name).a) || !learned.has(matricesOf(name).b));
  if (adapted.length === 0 || half)
    throw new Error(`adapter: expected A and B of each layer, got ${half ? `one of the two for ${half.name}` : "none"}`);
  return { lora: { rank, alpha, adapted, heads: specs.filter(({ name }) => learned.has(name)) }, learned };
}

function readConfig(bytes: Uint8Array): { rank: number; alpha: number } {
  const fail = (expected: string, got: unknown): never => {
    throw new Error(`adapter: expected ${expected} in ${ADAPTER_FILES.config}, got ${shownValue(got)}`);
  };
  let config: Readonly<Record<string, unknown>>;
  try {
    config = Object(JSON.parse(new TextDecoder().decode(bytes)));
  } catch {
    return fail("JSON", new TextDecoder().decode(bytes.subarray(0, 40)));
  }
  const { peft_type, r, lora_alpha, bias = "none", use_dora = false, use_rslora = false, fan_in_fan_out = false } = config;
  if (peft_type !== "LORA") fail('peft_type "LORA"', peft_type);
  if (typeof r !== "number" || !Number.isInteger(r) || r < 1) return fail("a rank r of at least 1", r);
  if (typeof lora_alpha !== "number" || !(lora_alpha > 0)) return fail("lora_alpha above 0", lora_alpha);
  if (bias !== "none") fail('bias "none"', bias);
  for (const [key, value] of Object.entries({ use_dora, fan_in_fan_out })) if (value) fail(`${key} off`, value);
  for (const key of ["rank_pattern", "alpha_pattern"])
    if (Object.keys(Object(config[key] ?? {})).length > 0) fail(`no ${key}`, config[key]);
  // Rank-stabilised LoRA scales by alpha / sqrt(r), as a larger alpha does.
  return { rank: r, alpha: use_rslora ? lora_alpha * Math.sqrt(r) : lora_alpha };
}

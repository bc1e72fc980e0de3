/** Weights by name, from and to safetensors files with timm's names. */
import type { DeitConfig } from "./deit.ts";
import type { State } from "./params.ts";
import type { RegNetConfig } from "./regnet.ts";
import { parseSafetensors, toF32, writeSafetensors } from "./safetensors.ts";

/** What a weights file of ours says about itself, besides the tensors. */
export interface WeightsInfo {
  readonly config: DeitConfig | RegNetConfig;
  readonly classes?: readonly string[];
  /** Per channel, of inputs in [0, 1]. */
  readonly mean?: readonly number[];
  readonly std?: readonly number[];
  /** How the weights came about, for people. */
  readonly note?: string;
}

export interface Weights {
  readonly state: State;
  /** `null` for files from elsewhere. */
  readonly info: WeightsInfo | null;
}

const CHECKPOINT_PARAM = "param.";

/** Reads a weights file, or the parameters of a training checkpoint. Scalars that no model here uses (`num_batches_tracked`) are left out. */
export function readWeights(bytes: Uint8Array): Weights {
  const { tensors, metadata } = parseSafetensors(bytes);
  const checkpoint = metadata["tessera"] !== undefined;
  const state = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  for (const [name, tensor] of tensors) {
    if (name.endsWith("num_batches_tracked")) continue;
    if (checkpoint && !name.startsWith(CHECKPOINT_PARAM)) continue;
    state.set(checkpoint ? name.slice(CHECKPOINT_PARAM.length) : name, { shape: tensor.shape, data: toF32(tensor) });
  }
  const info = metadata["tessera_weights"] ?? (checkpoint ? JSON.stringify({ config: (JSON.parse(metadata["tessera"]!) as { model: unknown }).model }) : undefined);
  return { state, info: info === undefined ? null : (JSON.parse(info) as WeightsInfo) };
}

export function writeWeights(state: State, info: WeightsInfo): Uint8Array {
  const entries = new Map([...state].map(([name, { shape, data }]) => [name, { dtype: "F32" as const, shape, data }]));
  return writeSafetensors(entries, { format: "pt", tessera_weights: JSON.stringify(info) });
}

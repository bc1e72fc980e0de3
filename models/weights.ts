/** Weights by name: from any file, to safetensors files with timm's names. */
import { type Container, readAnyWeights } from "./checkpoint-formats.ts";
import type { DeitConfig } from "./deit.ts";
import { toTimm } from "./layouts.ts";
import type { State } from "./params.ts";
import type { RegNetConfig } from "./regnet.ts";
import { writeSafetensors } from "./safetensors.ts";

/** In a safetensors file's metadata, and beside the state dict of a `.pth`. */
export const INFO = "tessera_weights";

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

/**
 * Reads a weights file, or the parameters of a training checkpoint, of ours or PyTorch's, with timm's or Hugging Face's names.
 * Scalars that no model here uses (`num_batches_tracked`) are left out, and so is a pooler.
 */
export function readWeights(bytes: Uint8Array): Weights {
  const { state, metadata, container } = readAnyWeights(bytes);
  return { state: toTimm(state).state, info: infoOf(metadata, container) };
}

/** What a file says about itself; `null` for files from elsewhere. */
export function infoOf(metadata: Readonly<Record<string, string>>, container: Container): WeightsInfo | null {
  const checkpoint = container === "safetensors" ? metadata["tessera"] : undefined;
  const info = metadata[INFO] ?? (checkpoint && JSON.stringify({ config: (JSON.parse(checkpoint) as { model: unknown }).model }));
  return info === undefined ? null : (JSON.parse(info) as WeightsInfo);
}

export function writeWeights(state: State, info: WeightsInfo): Uint8Array {
  const entries = new Map([...state].map(([name, { shape, data }]) => [name, { dtype: "F32" as const, shape, data }]));
  return writeSafetensors(entries, { format: "pt", [INFO]: JSON.stringify(info) });
}

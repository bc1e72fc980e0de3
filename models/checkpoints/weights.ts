/** Weights by name: from any file, to safetensors files with timm's names. */
import { type AnyWeights, readAnyWeights } from "./formats.ts";
import type { ConvNeXtConfig } from "../convnext.ts";
import type { DeitConfig } from "../deit.ts";
import { isHead } from "../heads.ts";
import { toTimm } from "./names.ts";
import { initialState, type ParamSpec, type State } from "../params.ts";
import type { RegNetConfig } from "../regnet.ts";
import type { ResNetConfig } from "../resnet.ts";
import { writeSafetensors } from "./safetensors.ts";

/** In a safetensors file's metadata, and beside the state dict of a `.pth`. */
export const INFO = "tessera_weights";

/** The metadata in a weights file written here. */
export interface WeightsInfo {
  /** As `createModel` takes it: files may leave out keys that have a default. */
  readonly config: Partial<DeitConfig> | Partial<RegNetConfig> | Partial<ResNetConfig> | Partial<ConvNeXtConfig>;
  readonly classes?: readonly string[];
  /** Per channel, of inputs in [0, 1]. */
  readonly mean?: readonly number[];
  readonly std?: readonly number[];
  /** How the weights were made, as text. */
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
export const readWeights = (bytes: Uint8Array): Weights => weightsOf(readAnyWeights(bytes));

/** The same for tensors that have been read already, for example from several files (sharded.ts). */
export const weightsOf = ({ state, metadata, container }: AnyWeights): Weights => ({
  state: toTimm(state).state,
  info: infoOf(metadata, container),
});

/** The metadata of a file written here; `null` for other files. Throws for metadata of another form. */
export function infoOf(metadata: Readonly<Record<string, string>>, container: AnyWeights["container"]): WeightsInfo | null {
  const checkpoint = container === "safetensors" ? metadata["tessera"] : undefined;
  const info = metadata[INFO] === undefined ? checkpoint && infoOfRun(parse(checkpoint)) : parse(metadata[INFO]);
  if (info === undefined) return null;
  const { config, classes, mean, std } = info as Readonly<Record<string, unknown>>;
  if (!isObject(config)) fail("a config in the file's metadata", typeof config);
  if (classes !== undefined && !isList(classes, "string")) fail("class names in the file's metadata", typeof classes);
  for (const numbers of [mean, std])
    if (numbers !== undefined && !isList(numbers, "number")) fail("mean and std of numbers in the file's metadata", typeof numbers);
  return info as unknown as WeightsInfo;
}

/** The fields read from a training checkpoint's record, which train/checkpoint.ts writes. */
function infoOfRun({ model, about }: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const { classes, mean, std } = isObject(about) ? about : {};
  return {
    config: model,
    ...(classes === undefined ? {} : { classes }),
    ...(mean === undefined ? {} : { mean }),
    ...(std === undefined ? {} : { std }),
  };
}

function parse(text: string): Readonly<Record<string, unknown>> {
  try {
    const json: unknown = JSON.parse(text);
    if (isObject(json)) return json;
  } catch {
    // the check below reports it
  }
  return fail("a JSON object in the file's metadata", JSON.stringify(text.slice(0, 40)));
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isList = (value: unknown, of: "string" | "number"): boolean => Array.isArray(value) && value.every((v) => typeof v === of);

export function writeWeights(state: State, info: WeightsInfo): Uint8Array {
  const entries = new Map([...state].map(([name, { shape, data }]) => [name, { dtype: "F32" as const, shape, data }]));
  return writeSafetensors(entries, { format: "pt", [INFO]: JSON.stringify(info) });
}

/**
 * Re-initialises every classifier head from `seed`, even one whose shape fits: the new classes differ whatever their number. Everything
 * else stays, and must still fit (`checkState`). `replaced` names the parameters that were re-initialised.
 */
export function replaceHead(specs: readonly ParamSpec[], state: State, seed: number): { state: State; replaced: readonly string[] } {
  const anew = specs.filter((s) => isHead(s.name));
  return { state: new Map([...state, ...initialState(anew, seed)]), replaced: anew.map((s) => s.name) };
}

function fail(expected: string, got: string): never {
  throw new Error(`weights: expected ${expected}, got ${got}`);
}

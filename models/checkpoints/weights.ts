/** Weights by name: from any file, to safetensors files with timm's names. */
import { type AnyWeights, type Container, readAnyWeights } from "./formats.ts";
import type { DeitConfig } from "../deit.ts";
import { isHead } from "../heads.ts";
import { toTimm } from "./names.ts";
import { initialState, type ParamSpec, type State } from "../params.ts";
import type { RegNetConfig } from "../regnet.ts";
import { writeSafetensors } from "./safetensors.ts";

/** In a safetensors file's metadata, and beside the state dict of a `.pth`. */
export const INFO = "tessera_weights";

/** What a weights file of ours says about itself, besides the tensors. */
export interface WeightsInfo {
  /** As `createModel` takes it: files may leave out keys that have a default. */
  readonly config: Partial<DeitConfig> | Partial<RegNetConfig>;
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
export const readWeights = (bytes: Uint8Array): Weights => weightsOf(readAnyWeights(bytes));

/** The same of what has been read already, for example of several files (sharded.ts). */
export const weightsOf = ({ state, metadata, container }: AnyWeights): Weights => ({
  state: toTimm(state).state,
  info: infoOf(metadata, container),
});

/** What a file says about itself; `null` for files from elsewhere. Throws where it says something, but not this. */
export function infoOf(metadata: Readonly<Record<string, string>>, container: Container): WeightsInfo | null {
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

/** Of a training checkpoint's record: what train/checkpoint.ts writes. */
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
    // said below
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
 * For other classes: the classifier, both heads of a distilled model, gets the initial values of `seed`, one that happens to fit too: ten
 * other classes are as new as a hundred. Everything else stays, and must still fit (`checkState`). `replaced` names what was begun anew.
 */
export function replaceHead(specs: readonly ParamSpec[], state: State, seed: number): { state: State; replaced: readonly string[] } {
  const anew = specs.filter((s) => isHead(s.name));
  return { state: new Map([...state, ...initialState(anew, seed)]), replaced: anew.map((s) => s.name) };
}

function fail(expected: string, got: string): never {
  throw new Error(`weights: expected ${expected}, got ${got}`);
}

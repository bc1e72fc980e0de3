/** A run's state as one safetensors file: enough to go on with the same bits. */
import { parseSafetensors, writeSafetensors } from "../models/checkpoints/safetensors.ts";
import type { ParameterStore, State } from "../models/params.ts";
import type { Optimizer } from "./optimizer.ts";
import { makeRecipe, type Recipe } from "./recipe.ts";

/** Where a run stands. Data order, crops, mixing and dropped paths follow from seed, epoch and step, so these are all there is. */
export interface Position {
  readonly epoch: number;
  /** Steps done in this epoch, and in all. */
  readonly stepInEpoch: number;
  readonly step: number;
}

/** What the weights stand for beyond their names, for whoever takes them elsewhere. Going on does not depend on it. */
export interface About {
  readonly classes: readonly string[];
  /** Per channel, of inputs in [0, 1]. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
  /** The teacher's model by name. */
  readonly teacher?: string;
}

interface Meta extends Position {
  readonly format: "tessera-checkpoint";
  readonly version: 1;
  readonly seed: number;
  readonly recipe: Recipe;
  readonly model: unknown;
  readonly about: About;
}

const PARAM = "param.";
const EMA = "ema.";
/** F32 [2]: what the loss is multiplied by, and finite updates since it changed. */
const LOSS_SCALE = "loss_scale";

export async function saveCheckpoint(
  store: ParameterStore,
  optimizer: Optimizer,
  seed: number,
  recipe: Recipe,
  model: unknown,
  position: Position,
  about: About,
): Promise<Uint8Array> {
  const entries = new Map<string, { dtype: "F32"; shape: readonly number[]; data: Float32Array }>();
  const put = (prefix: string, state: State) => {
    for (const [name, { shape, data }] of state) entries.set(prefix + name, { dtype: "F32", shape, data });
  };
  put(PARAM, await store.state());
  for (const [name, flat] of Object.entries(optimizer.state)) put(`${name}.`, await store.readFlat(flat));
  if (optimizer.lossScale) {
    const { scale, good } = optimizer.lossScale;
    entries.set(LOSS_SCALE, { dtype: "F32", shape: [2], data: Float32Array.of(await scale.item(), await good.item()) });
  }
  if (optimizer.ema) put(EMA, await store.state(optimizer.ema.flat, optimizer.ema.stats));
  const meta: Meta = { format: "tessera-checkpoint", version: 1, seed, recipe, model, about, ...position };
  return writeSafetensors(entries, { tessera: JSON.stringify(meta) });
}

/** Where the run stood that saved this checkpoint. Refuses one of another model, recipe or seed. */
export function checkCheckpoint(bytes: Uint8Array, seed: number, recipe: Recipe, model: unknown): Position {
  const meta = metaOf(readCheckpoint(bytes).metadata);
  const same = (what: string, got: unknown, expected: unknown) => {
    const [a, b] = [JSON.stringify(got), JSON.stringify(expected)];
    if (a !== b) throw new Error(`resume: expected a checkpoint with ${what} ${b}, got ${a}`);
  };
  same("model", meta.model, model);
  same("seed", meta.seed, seed);
  const before = makeRecipe(meta.recipe); // items that are younger than the checkpoint had their defaults
  for (const key of Object.keys(recipe) as (keyof Recipe)[]) same(key, before[key], recipe[key]);
  const { epoch, stepInEpoch, step } = meta;
  return { epoch, stepInEpoch, step };
}

/** Puts a saved run's state back, once it is checked. */
export function restoreCheckpoint(
  bytes: Uint8Array,
  store: ParameterStore,
  optimizer: Optimizer,
  seed: number,
  recipe: Recipe,
  model: unknown,
): Position {
  const position = checkCheckpoint(bytes, seed, recipe, model);
  const { tensors } = readCheckpoint(bytes);
  const part = (prefix: string, names: readonly string[]): State =>
    new Map(
      names.map((name) => {
        const t = tensors.get(prefix + name);
        if (!t) throw new Error(`resume: expected tensor ${prefix}${name}, got none`);
        return [name, t];
      }),
    );
  const names = store.specs.map((spec) => spec.name);
  const trained = store.layout.parts.map(({ name }) => name);
  store.restore(part(PARAM, names));
  for (const [name, flat] of Object.entries(optimizer.state)) store.writeFlat(flat, part(`${name}.`, trained));
  if (optimizer.lossScale) {
    const [scale, good] = part("", [LOSS_SCALE]).get(LOSS_SCALE)!.data;
    optimizer.lossScale.scale.write([scale!]);
    optimizer.lossScale.good.write([good!]);
  }
  if (optimizer.ema) {
    const average = part(EMA, names);
    store.layout.write(optimizer.ema.flat, average);
    if (optimizer.ema.stats) store.statsLayout.write(optimizer.ema.stats, average);
  }
  return position;
}

/** Where the run stood that saved this checkpoint, whatever run it was. */
export const checkpointPosition = (bytes: Uint8Array): Position => {
  const { epoch, stepInEpoch, step } = metaOf(readCheckpoint(bytes).metadata);
  return { epoch, stepInEpoch, step };
};

function metaOf(metadata: Readonly<Record<string, string>>): Meta {
  const text = metadata["tessera"];
  if (text === undefined)
    throw new Error("resume: expected a checkpoint of a run, got a file without its record (weights alone cannot be resumed)");
  const meta = JSON.parse(text) as Meta;
  if (meta.format !== "tessera-checkpoint" || meta.version !== 1)
    throw new Error(`resume: expected checkpoint version 1, got ${meta.format} ${meta.version}`);
  return meta;
}

function readCheckpoint(bytes: Uint8Array): { tensors: State; metadata: Readonly<Record<string, string>> } {
  const file = parseSafetensors(bytes);
  return { tensors: file.tensors as unknown as State, metadata: file.metadata };
}

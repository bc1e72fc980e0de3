/** A run's state as one safetensors file, from which the run resumes with the same bits; it is checked before it is used. */
import { parseSafetensors, writeSafetensors } from "../models/checkpoints/safetensors.ts";
import type { ParameterStore, State } from "../models/params.ts";
import { DEIT } from "../models/deit-config.ts";
import { digestState } from "./digest.ts";
import type { Optimizer } from "./optimizer.ts";
import { readMeta, type About, type Meta } from "./checkpoint-meta.ts";
import type { Position } from "./position.ts";
import { makeRecipe, type Recipe } from "./recipe.ts";
import { ResumeError, type RunIdentity } from "./identity.ts";

export type { About } from "./checkpoint-meta.ts";

const PARAM = "param.";
const EMA = "ema.";
/** F32 [2]: loss scale, and finite updates since it changed. */
const LOSS_SCALE = "loss_scale";
/** F32 [1]: updates skipped because their gradients were not finite. */
const SKIPPED = "skipped_updates";

/** A checkpoint that was read and belongs to the run. */
export interface Resumed {
  readonly tensors: State;
  readonly position: Position;
}

export async function saveCheckpoint(
  { store, optimizer }: { readonly store: ParameterStore; readonly optimizer: Optimizer },
  run: RunIdentity,
  position: Position,
  about: About,
): Promise<Uint8Array> {
  const tensors = new Map<string, { dtype: "F32"; shape: readonly number[]; data: Float32Array }>();
  const put = (prefix: string, state: State) => {
    for (const [name, { shape, data }] of state) tensors.set(prefix + name, { dtype: "F32", shape, data });
  };
  const numbers = async (...scalars: { item(): Promise<number> }[]) => {
    const data = Float32Array.from(await Promise.all(scalars.map((s) => s.item())));
    return { shape: [data.length], data };
  };
  put(PARAM, await store.state());
  for (const [name, flat] of Object.entries(optimizer.state)) put(`${name}.`, await store.readFlat(flat));
  if (optimizer.lossScale) put("", new Map([[LOSS_SCALE, await numbers(optimizer.lossScale.scale, optimizer.lossScale.good)]]));
  if (optimizer.skipped) put("", new Map([[SKIPPED, await numbers(optimizer.skipped)]]));
  if (optimizer.ema) put(EMA, await store.state(optimizer.ema.flat, optimizer.ema.stats));
  const meta: Meta = { format: "tessera-checkpoint", version: 2, ...run, about, ...position };
  const sha256 = await digestState(tensors, meta);
  return writeSafetensors(tensors, { tessera: JSON.stringify({ ...meta, sha256 }) });
}

/**
 * Reads a checkpoint and compares it with the run that resumes from it. Throws a `ResumeError` that names the first difference: model,
 * seed, recipe, or (unless `allowChanged`) data, teacher, normalization and place of augmentation; also for a damaged file.
 */
export async function readCheckpoint(
  bytes: Uint8Array,
  run: RunIdentity,
  { stepsPerEpoch, allowChanged = false }: { readonly stepsPerEpoch: number; readonly allowChanged?: boolean | undefined },
): Promise<Resumed> {
  const { tensors, meta } = parse(bytes);
  const { sha256, ...signed } = meta;
  if (sha256 !== undefined && sha256 !== (await digestState(tensors, signed)))
    throw new ResumeError("expected a checkpoint with the checksum it was saved with, got another: the file is damaged");
  const same = (what: string, got: unknown, expected: unknown, advice = "") => {
    const [a, b] = [JSON.stringify(got), JSON.stringify(expected)];
    if (a !== b) throw new ResumeError(`expected a checkpoint with ${what} ${b}, got ${a}${advice}`);
  };
  // A transformer's keys that are younger than the file have their default.
  const model = meta.model as { readonly arch?: string };
  same("model", model.arch === "deit" ? { ...DEIT, ...model } : model, run.model);
  same("seed", meta.seed, run.seed);
  const before = recipeOf(meta, run.recipe);
  for (const key of Object.keys(run.recipe) as (keyof Recipe)[]) same(key, before[key], run.recipe[key]);
  for (const key of allowChanged || !meta.origin ? [] : (Object.keys(run.origin) as (keyof typeof run.origin)[]))
    same(key, meta.origin![key], run.origin[key], "; --allow-changed goes on with it");
  return { tensors, position: positionIn(meta, stepsPerEpoch, allowChanged) };
}

/** The recipe of a checkpoint. Items that are newer than the file get the value that its run implied. */
function recipeOf(meta: Meta, run: Recipe): Recipe {
  if (meta.version > 1) return makeRecipe(meta.recipe);
  const { optimizer, distillation } = makeRecipe(meta.recipe);
  if (distillation === "none" && (meta.model as { readonly distilled?: boolean }).distilled)
    throw new ResumeError(
      "expected a checkpoint whose loss was taken of the mean of both heads, got one of version 1, whose loss was the class head's alone",
    );
  return makeRecipe({
    ...meta.recipe,
    nesterov: optimizer === "sgd" ? false : run.nesterov,
    maxGradNorm: optimizer === "lamb" ? null : run.maxGradNorm,
  });
}

/** The position in epochs of `stepsPerEpoch`; the end of an epoch is given as the beginning of the next. */
function positionIn(meta: Meta, stepsPerEpoch: number, allowChanged: boolean): Position {
  const ended = meta.stepInEpoch >= stepsPerEpoch;
  const [epoch, stepInEpoch] = ended ? [meta.epoch + 1, 0] : [meta.epoch, meta.stepInEpoch];
  const step = epoch * stepsPerEpoch + stepInEpoch;
  if (step !== meta.step && !allowChanged)
    throw new ResumeError(
      `expected a checkpoint at step ${step} (epoch ${meta.epoch}, step ${meta.stepInEpoch} of ${stepsPerEpoch}), got step ${meta.step}`,
    );
  return { epoch, stepInEpoch, step };
}

/** Restores a saved run's state. */
export function restoreCheckpoint({ tensors }: Resumed, store: ParameterStore, optimizer: Optimizer): void {
  const part = (prefix: string, names: readonly string[]): State =>
    new Map(
      names.map((name) => {
        const t = tensors.get(prefix + name);
        if (!t) throw new ResumeError(`expected tensor ${prefix}${name}, got none`);
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
  // Version 1 counted skipped updates as updates.
  if (optimizer.skipped) optimizer.skipped.write([tensors.get(SKIPPED)?.data[0] ?? 0]);
  if (optimizer.ema) {
    const average = part(EMA, names);
    store.layout.write(optimizer.ema.flat, average);
    store.statsLayout.write(optimizer.ema.stats, average);
  }
}

/** The position saved in a checkpoint of any run. */
export function checkpointPosition(bytes: Uint8Array): Position {
  const { epoch, stepInEpoch, step } = parse(bytes).meta;
  return { epoch, stepInEpoch, step };
}

function parse(bytes: Uint8Array): { tensors: State; meta: Meta } {
  const { tensors, metadata } = parseSafetensors(bytes);
  return { tensors: tensors as unknown as State, meta: readMeta(metadata) };
}

/** What a run is made of: settings, and the contents of its data and weights, wherever they lie. Two runs of one identity give one result. */
import { createHash } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { readWeights } from "../../models/checkpoints/weights.ts";
import type { Run, SetName, Settings, Source } from "../../train/experiments/experiment.ts";
import { makeRecipe } from "../../train/recipe.ts";

export interface Identity {
  readonly kind: Run["kind"];
  readonly model: Settings;
  /** Whole: a default that changes makes another run. */
  readonly recipe: Settings;
  readonly seed: number;
  /** SHA-256 of the pictures. */
  readonly train: Pictures;
  readonly test: Pictures;
  /** SHA-256 of the weights' files. */
  readonly teacher: string | null;
  readonly initial: string | null;
}

interface Pictures {
  readonly set: SetName;
  readonly bytes: number;
  readonly sha256: string;
}

/** Where a run's inputs lie. */
export interface Inputs {
  readonly folder: (set: SetName) => string;
  /** `null`: not trained yet. */
  readonly weights: (source: Source) => string | null;
}

/** `null` while weights that the run needs do not exist. */
export function identityOf(run: Run, seed: number, { folder, weights }: Inputs): Identity | null {
  const needed = [run.teacher, run.from, run.model === "best-deit" ? run.model : undefined];
  const [teacher, from, model] = needed.map((source) => (source === undefined ? undefined : weights(source)));
  if (teacher === null || from === null || model === null) return null;
  const test = run.judged ?? run.data;
  return {
    kind: run.kind,
    model: run.model === "best-deit" ? configOf(model!) : run.model,
    recipe: run.kind === "train" ? makeRecipe(run.recipe) : {},
    seed,
    train: picturesIn(run.data, join(folder(run.data), "train.bin")),
    test: picturesIn(test, join(folder(test), "test.bin")),
    teacher: teacher === undefined ? null : digest(teacher).sha256,
    initial: from === undefined ? null : digest(from).sha256,
  };
}

const picturesIn = (set: SetName, path: string): Pictures => ({ set, ...digest(path) });

/** Equal whatever the order of keys. */
export const sameIdentity = (a: Identity, b: Identity): boolean => canonical(a) === canonical(b);

/** The identity in short, for files that others write. */
export const identityKey = (identity: Identity): string => createHash("sha256").update(canonical(identity)).digest("hex");

const canonical = (value: unknown): string =>
  JSON.stringify(value, (_, v: unknown) =>
    v !== null && typeof v === "object" && !Array.isArray(v)
      ? Object.fromEntries(Object.entries(v).sort(([a], [b]) => (a < b ? -1 : 1)))
      : v,
  );

const digests = new Map<string, { readonly bytes: number; readonly sha256: string }>();

/** Of a file; read again only when it has changed. */
export function digest(path: string): { readonly bytes: number; readonly sha256: string } {
  const { size, mtimeMs } = statSync(path);
  const key = `${path} ${size} ${mtimeMs}`;
  const known = digests.get(key);
  if (known) return known;
  const found = { bytes: size, sha256: createHash("sha256").update(readFileSync(path)).digest("hex") };
  digests.set(key, found);
  return found;
}

const configs = new Map<string, Settings>();

/** The model that a weights file is of. */
function configOf(path: string): Settings {
  const key = `${path} ${statSync(path).mtimeMs}`;
  const known = configs.get(key) ?? (readWeights(Uint8Array.from(readFileSync(path))).info?.config as Settings | undefined);
  if (!known) throw new Error(`experiments: expected weights that name their model in ${path}, got a file without a config`);
  configs.set(key, known);
  return known;
}

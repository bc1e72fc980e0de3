/** The same settings in PyTorch and timm: what train/experiments/pytorch/train.py is given, and what it found. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Answer, Row } from "../../train/experiments/experiment.ts";
import { tablesOf } from "../../train/experiments/suite.ts";
import { writeAtomic } from "../node/files.ts";
import { identityKey } from "./identity.ts";
import type { Outcome } from "./outcome.ts";
import type { Place } from "./place.ts";
import { seedsOf } from "./queue.ts";
import { estimate, type Estimate } from "./statistics.ts";

/** What train.py writes: for each run and seed the key of what it was made of, and shares. */
export type Mirrors = Readonly<
  Record<string, Readonly<Record<string, { readonly of: string; readonly top1: Readonly<Partial<Record<Answer, number>>> }>>>
>;

export interface Mirror extends Estimate {
  /** Whether our mean lies within two standard errors of the difference; `null` where one seed says nothing. */
  readonly within: boolean | null;
}

const folderOf = (place: Place): string => join(place.out, "pytorch");

/** Writes the settings of all mirrored runs whose weights and data are there. */
export async function exportSettings(place: Place, seeds: readonly number[]): Promise<string> {
  const rows = tablesOf(place.scale).flatMap(({ groups }) => groups.flatMap((group) => group.rows.filter((row) => row.mirrored)));
  const runs = [...new Map(rows.map(({ run }) => [run.id, run])).values()].flatMap((run) =>
    seedsOf(run, seeds).flatMap((seed) => {
      const identity = place.identity(run, seed);
      if (!identity) return [];
      const { model, recipe } = identity;
      const weights = { teacher: run.teacher ? place.weights(run.teacher) : null, initial: run.from ? place.weights(run.from) : null };
      const pictures = { train: join(place.folder(run.data), "train.bin"), test: join(place.folder(run.judged ?? run.data), "test.bin") };
      return [{ id: run.id, seed, of: identityKey(identity), model, recipe, ...weights, ...pictures }];
    }),
  );
  const path = join(folderOf(place), "settings.json");
  await writeAtomic(path, new TextEncoder().encode(`${JSON.stringify({ runs }, null, 1)}\n`));
  return path;
}

export function readMirrors(place: Place): Mirrors {
  const path = join(folderOf(place), "results.json");
  return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as { runs: Mirrors }).runs : {};
}

/** A row's figures in PyTorch, of runs that were made of the same. */
export function mirrorOf({ run, answer, mirrored }: Row, ours: readonly Outcome[], mirrors: Mirrors): Mirror | null {
  if (!mirrored) return null;
  const keys = new Map(ours.map((o) => [String(o.seed), identityKey(o.of)]));
  const theirs = estimate(
    Object.entries(mirrors[run.id] ?? {}).flatMap(([seed, { of, top1 }]) =>
      keys.get(seed) === of && top1[answer] !== undefined ? [100 * top1[answer]] : [],
    ),
  );
  const own = estimate(ours.flatMap(({ top1 }) => (top1[answer] === undefined ? [] : [100 * top1[answer]])));
  if (!theirs || !own) return null;
  const known = theirs.error !== null && own.error !== null;
  return { ...theirs, within: known ? Math.abs(own.mean - theirs.mean) <= 2 * Math.hypot(own.error!, theirs.error!) : null };
}

/** A place of experiments whose pictures, teacher and results are made up. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import type { Identity } from "../../cli/experiments/identity.ts";
import { identityFile, resultFile, runFolder, type Outcome } from "../../cli/experiments/outcome.ts";
import { Place } from "../../cli/experiments/place.ts";
import { TABLES, type Run } from "../../train/experiments/experiment.ts";
import { SCALES } from "../../train/experiments/scales.ts";
import { runsOf } from "../../train/experiments/suite.ts";

export const scale = SCALES.rehearsal;
const folders: string[] = [];
afterAll(() => folders.forEach((folder) => rmSync(folder, { recursive: true, force: true })));

/** A place with pictures for every set and a teacher, none of them real. */
export function makePlace(): Place {
  const root = mkdtempSync(join(tmpdir(), "experiments-"));
  folders.push(root);
  const cnn = join(root, "cnn.safetensors");
  writeFileSync(cnn, "a teacher");
  const place = new Place(scale, root, { cnn, deit: null });
  const sets = new Set(runsOf(scale, TABLES, { deit: false }).flatMap(({ data, judged }) => [data, judged ?? data]));
  for (const set of sets) {
    mkdirSync(place.folder(set), { recursive: true });
    for (const split of ["train", "test"]) writeFileSync(join(place.folder(set), `${split}.bin`), `${split} of ${set}`);
  }
  return place;
}

export const outcomeOf = (run: Run, seed: number, of: Identity, top1: Outcome["top1"]): Outcome => ({
  ...{ id: run.id, seed, of, top1 },
  command: `train ${run.id}`,
  trainTop1: 0.5,
  curve: [
    { epoch: 1, test: top1.model / 2, train: 0.2 },
    { epoch: 2, test: top1.model, train: 0.4 },
  ],
  steps: 10,
  seconds: 60,
  imagesPerSecond: 100,
  testImages: 10_000,
  adapter: { description: "some adapter", software: true },
  where: "node",
  commit: "abc",
  date: "2026-01-01",
});

/** Keeps a result as a finished run would. */
export function keep(place: Place, run: Run, seed: number, top1: Outcome["top1"]): Outcome {
  const folder = runFolder(place.out, run.id, seed);
  const outcome = outcomeOf(run, seed, place.identity(run, seed)!, top1);
  mkdirSync(folder, { recursive: true });
  writeFileSync(identityFile(folder), JSON.stringify(outcome.of));
  writeFileSync(resultFile(folder), JSON.stringify(outcome));
  return outcome;
}

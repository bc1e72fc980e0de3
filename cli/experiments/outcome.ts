/** A run's result, as kept in its folder beside what the run was made of. */
import { existsSync, mkdirSync, readFileSync, renameSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Answer, Run } from "../../train/experiments/experiment.ts";
import { sameIdentity, type Identity } from "./identity.ts";

/** Shares, not percent. */
export interface Outcome {
  readonly id: string;
  readonly seed: number;
  readonly of: Identity;
  readonly command: string;
  readonly top1: Readonly<Partial<Record<Answer, number>>> & { readonly model: number };
  /** Of the training pictures without augmentation, where they were judged. */
  readonly trainTop1: number | null;
  /** Test accuracy, and accuracy on the training pictures as they were shown, after so many epochs. */
  readonly curve: readonly { readonly epoch: number; readonly test: number; readonly train: number }[];
  readonly steps: number;
  readonly seconds: number;
  readonly imagesPerSecond: number;
  readonly testImages: number;
  readonly adapter: Readonly<Record<string, unknown>>;
  readonly where: string;
  readonly commit: string;
  readonly date: string;
}

export const runFolder = (out: string, id: string, seed: number): string => join(out, "runs", id, `seed-${seed}`);

const IDENTITY = "identity.json";
const RESULT = "result.json";

/** The folder's result if it is of exactly this run; `null` for that of other settings, data or weights. */
export function outcomeIn(folder: string, identity: Identity): Outcome | null {
  const outcome = JSON.parse(readFileSync(join(folder, RESULT), "utf8")) as Outcome;
  return sameIdentity(outcome.of, identity) ? outcome : null;
}

/** Moves what the folder holds of another run to "put-aside" in `out`. Returns where it is then; `null` if nothing was in the way. */
export function putAside(out: string, { id }: Run, seed: number, identity: Identity): string | null {
  const folder = runFolder(out, id, seed);
  if (!existsSync(folder)) return null;
  const path = join(folder, IDENTITY);
  const held = existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as Identity) : null;
  if (held && sameIdentity(held, identity)) return null;
  let number = 1;
  const aside = () => join(out, "put-aside", id, `seed-${seed}.${number}`);
  while (existsSync(aside())) number++;
  mkdirSync(dirname(aside()), { recursive: true });
  renameSync(folder, aside());
  return aside();
}

export const identityFile = (folder: string): string => join(folder, IDENTITY);
export const resultFile = (folder: string): string => join(folder, RESULT);

/** The teachers: the given CNN, judged on all test pictures, and those that were chosen among the trained ones. */
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { digest } from "./identity.ts";
import type { Commands } from "./command.ts";
import { machineOptions, type Machine } from "./one-run.ts";
import type { Place } from "./place.ts";
import { writeAtomic } from "../node/files.ts";

export interface GivenTeacher {
  readonly sha256: string;
  readonly count: number;
  /** In percent. */
  readonly top1: number;
}

export interface Teachers {
  readonly cnn: GivenTeacher | null;
  /** A DeiT that was given, by its SHA-256. */
  readonly deit: string | null;
  readonly chosen: ReturnType<Place["chosen"]>;
}

const folderOf = (place: Place): string => join(place.out, "given-cnn");

/** Its answers to all test pictures of CIFAR-10. */
export const teacherAnswers = (place: Place): string => join(folderOf(place), "answers.safetensors");

/** Evaluates the given CNN, unless that was done. */
export async function judgeTeacher(place: Place, machine: Machine, commands: Commands): Promise<void> {
  if (givenTeacher(place)) return;
  const folder = folderOf(place);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const json = join(folder, "eval.json");
  const args = [
    "eval",
    "--weights",
    place.cnn,
    "--data",
    place.folder(place.scale.judged),
    "--logits",
    teacherAnswers(place),
    "--json",
    json,
  ];
  await commands.run([...args, ...machineOptions(machine)], "the given CNN");
  const { count, model } = JSON.parse(readFileSync(json, "utf8")) as { count: number; model: { top1: number } };
  const given: GivenTeacher = { sha256: digest(place.cnn).sha256, count, top1: 100 * model.top1 };
  await writeAtomic(join(folder, "given.json"), new TextEncoder().encode(JSON.stringify(given)));
}

/** `null` where these weights have not been judged. */
export function givenTeacher(place: Place): GivenTeacher | null {
  const path = join(folderOf(place), "given.json");
  if (!existsSync(path)) return null;
  const given = JSON.parse(readFileSync(path, "utf8")) as GivenTeacher;
  return given.sha256 === digest(place.cnn).sha256 ? given : null;
}

export const teachersOf = (place: Place): Teachers => ({
  cnn: givenTeacher(place),
  deit: place.deit === null ? null : digest(place.deit).sha256,
  chosen: place.chosen(),
});

/// <reference types="vite/types/importMeta.d.ts" />
/** Every challenge, by its file's name: the exports of the files of checks/challenges, found as catalog.ts finds cases. */
import type { Challenge } from "./challenge.ts";
import { folder } from "./folder.ts";

interface ChallengeFile {
  readonly challenge: Challenge;
}

const files = import.meta.env
  ? import.meta.glob<ChallengeFile>(["./challenges/*.{ts,js}", "!./challenges/*.d.ts"], { eager: true })
  : await folder<ChallengeFile>("./challenges/");

export const challenges: Readonly<Record<string, Challenge>> = Object.fromEntries(
  Object.entries(files).map(([path, { challenge }]) => [path.replace(/^.*\/|\.\w+$/g, ""), challenge]),
);

/** The challenge, or an error that lists what there is. */
export function challengeNamed(name: string): Challenge {
  if (!Object.hasOwn(challenges, name)) throw new Error(`op: expected a challenge ${Object.keys(challenges).join(", ")}, got "${name}"`);
  return challenges[name]!;
}

/// <reference types="vite/types/importMeta.d.ts" />
/** Every case of checks/cases and test/cases, in Node and in a page alike. A new file there is found by itself. */
import type { Case } from "../checks/check.ts";

const files = import.meta.glob<{ cases: readonly Case[] }>(["../checks/cases/*.ts", "./cases/*.ts"]);

/** What there is to run: for each file its cases. A file that does not load is one case that fails, and harms no other. */
export async function listCases(): Promise<{ file: string; cases: readonly Case[] }[]> {
  return Promise.all(
    Object.entries(files).map(async ([file, load]) => {
      try {
        return { file, cases: (await load()).cases };
      } catch (error) {
        return { file, cases: [{ name: "the file loads", run: () => Promise.reject(error) }] };
      }
    }),
  );
}

/** Runs one case; it throws where it fails. */
export async function runCase(file: string, name: string): Promise<void> {
  const found = (await files[file]?.())?.cases.find((c) => c.name === name);
  if (!found) throw new Error(`runCase: expected a case "${name}" in ${file}, got none`);
  await found.run();
}

/** Features that a case needs and the adapter lacks, as text; empty where it can run. */
export function lacking({ needs = [] }: Case, features: readonly string[]): string {
  return needs.filter((feature) => !features.includes(feature)).join(", ");
}

/** The committed results, by their files' names: each is fetched when it is asked for, once. */
import { readResults, type NamedResult } from "../../bench/result-file.ts";

const files = import.meta.glob<string>("../../bench/results/*.json", { query: "?url", import: "default", eager: true });
const addresses = new Map(
  Object.entries(files).flatMap(([path, address]) => {
    const name = path.split("/").at(-1)!.replace(".json", "");
    return name.startsWith("check-") ? [] : [[name, address] as const]; // baselines of bench:check are medians of results
  }),
);
const fetched = new Map<string, Promise<NamedResult>>();

export const referenceNames = (): string[] => [...addresses.keys()];

/** Rejects where it cannot be fetched; asked again, it is fetched again. */
export function reference(name: string): Promise<NamedResult> {
  let result = fetched.get(name);
  if (!result) {
    result = read(name);
    result.catch(() => fetched.delete(name));
    fetched.set(name, result);
  }
  return result;
}

async function read(name: string): Promise<NamedResult> {
  const answer = await fetch(addresses.get(name)!);
  if (!answer.ok) throw new Error(`${name}: expected the committed result, got status ${answer.status}`);
  return readResults([{ name, content: await answer.json() }])[0]!;
}

export const references = (): Promise<NamedResult[]> => Promise.all(referenceNames().map(reference));

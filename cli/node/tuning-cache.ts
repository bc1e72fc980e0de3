/** Tables that `tune` made, one file per adapter in the user's cache folder; where there is none, the one that ships. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { Answer } from "../../bench/tune/tune.ts";
import { adapterName, type AdapterDescription } from "../../engine/device.ts";
import type { RaceStore } from "../../kernels/gemm/race.ts";
import type { Tuning } from "../../kernels/shared/tuning.ts";
import { knownTuning } from "../../kernels/shared/known-tunings.ts";
import { note } from "../output.ts";
import { writeAtomic } from "./files.ts";
import { defaultCacheDir } from "../../bench/cache-dir.ts";

const table = z.object({
  format: z.literal(1),
  adapter: z.string(),
  choices: z.record(z.string(), z.string()),
  /** All measurements, to explain the choices. */
  answers: z.record(z.string(), z.unknown()),
});

/** The record of races on this adapter, in the user's cache folder. */
export function raceStore({ vendor, architecture, device }: AdapterDescription): RaceStore {
  const file = join(
    defaultCacheDir(),
    "races",
    `${
      [vendor, architecture, device]
        .filter(Boolean)
        .join("-")
        .replace(/[^\w.-]+/g, "-") || "adapter"
    }.json`,
  );
  return { get: () => readFile(file).catch(() => null), set: (bytes) => writeAtomic(file, bytes) };
}

/** A driver's version is part of its adapter's name: another one is measured anew. */
export function tuningFile(adapter: AdapterDescription): string {
  const name = adapterName(adapter);
  const short = name.replace(/[^\w.-]+/g, "-").slice(0, 60);
  return join(defaultCacheDir(), "tuning", `${short}-${createHash("sha256").update(name).digest("hex").slice(0, 8)}.json`);
}

async function readTable(file: string): Promise<z.infer<typeof table> | null> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch {
    return null;
  }
  const parsed = table.safeParse(parseJson(text));
  if (parsed.success) return parsed.data;
  note(`${file}: expected a table as \`tune\` writes it, got another content; not used`);
  return null;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** The table to use on this adapter, if there is one. */
export async function savedTuning(adapter: AdapterDescription): Promise<Tuning | null> {
  const file = tuningFile(adapter);
  const saved = await readTable(file);
  return saved ? { source: file, choices: saved.choices } : knownTuning(adapter);
}

/** Adds answers to the adapter's table; a question's newer answer replaces the older one. Returns the file. */
export async function saveTuning(adapter: AdapterDescription, answers: readonly Answer[]): Promise<string> {
  const file = tuningFile(adapter);
  const before = await readTable(file);
  const choices = { ...(before?.choices ?? knownTuning(adapter)?.choices) };
  const all = { ...before?.answers };
  for (const answer of answers) {
    all[answer.question] = answer;
    choices[answer.question] = answer.choice;
  }
  await writeAtomic(
    file,
    new TextEncoder().encode(`${JSON.stringify({ format: 1, adapter: adapterName(adapter), choices, answers: all }, null, 1)}\n`),
  );
  return file;
}

/**
 * Everything that may befall a run, drawn from a seed and counted: `npm run test:chaos`. TESSERA_SEED draws others, TESSERA_TRIES makes as many
 * times the tries. The table of tries and survivals is written to CHAOS.md beside this file.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, expect, test, vi } from "vitest";
import { commit } from "../../cli/report-file.ts";
import { adapterName, getDevice } from "../../engine/device.ts";
import { Random } from "../../kernels/shared/random.ts";
import { checkpoints } from "./chaos/checkpoints.ts";
import { devices } from "./chaos/devices.ts";
import { downloads } from "./chaos/downloads.ts";
import type { Fault } from "./chaos/fault.ts";
import { folders } from "./chaos/folders.ts";
import { kills } from "./chaos/kills.ts";
import { folder } from "./chaos/training.ts";

const SEED = Number(process.env["TESSERA_SEED"] ?? 14);
const TRIES = Number(process.env["TESSERA_TRIES"] ?? 1);
const MINUTE = 60_000;

// Downloads of the suite are kept apart from the user's.
process.env["TESSERA_CACHE"] = join(folder, "cache");
mkdirSync(process.env["TESSERA_CACHE"]);

const rows: string[] = [];
const fromMs = performance.now();
const adapter = adapterName(getDevice().adapter);

afterEach(() => void vi.restoreAllMocks());

/** Makes all tries of a fault, whatever the first ones lose, and keeps their row. */
async function count({ name, survives, attempt, ...fault }: Fault, stream: number): Promise<string[]> {
  const random = new Random(SEED, stream);
  const tries = TRIES * fault.tries;
  const startMs = performance.now();
  const lost: string[] = [];
  const notes: string[] = [];
  for (let i = 0; i < tries; i++) {
    try {
      const note = await attempt(random, i);
      if (note) notes.push(note);
    } catch (error) {
      lost.push(`try ${i + 1}: ${(error as Error).message}`);
    }
  }
  const seen = notes.length > 0 ? `; ${[...new Set(notes)].map((n) => `${n}${times(notes, n)}`).join(", ")}` : "";
  const seconds = ((performance.now() - startMs) / 1000).toFixed(0);
  const row = `| ${name} | ${tries} | ${tries - lost.length} | ${survives}${seen} | ${seconds} s |`;
  console.log(row);
  rows.push(row);
  return lost;
}

const times = (notes: readonly string[], note: string): string => {
  const n = notes.filter((other) => other === note).length;
  return n > 1 ? ` (${n} times)` : "";
};

const faults = [...kills, ...folders, ...checkpoints, ...devices, ...downloads];

test.each(faults.map((fault, i) => [fault.name, fault, i] as const))("%s", { timeout: 20 * MINUTE }, async (_, fault, i) => {
  if (fault.unable) return void rows.push(`| ${fault.name} | 0 | 0 | not tried: ${fault.unable} | |`);
  expect(await count(fault, i)).toEqual([]);
});

afterAll(() => {
  const minutes = ((performance.now() - fromMs) / MINUTE).toFixed(1);
  const text = `# What \`npm run test:chaos\` found

${new Date().toISOString().slice(0, 10)}, commit ${commit()}, seed ${SEED}, ${adapter}, Node ${process.versions.node} on ${process.platform}: ${minutes} minutes. A try survives where all
of its line holds; "the same bits" are SHA-256 of weights, their average and checkpoint equal to those of a run that nothing befell.

| fault | tries | survived | what had to hold | time |
|---|---|---|---|---|
${rows.join("\n")}
`;
  writeFileSync("test/slow/CHAOS.md", text);
  console.log(text);
  rmSync(folder, { recursive: true, force: true });
});

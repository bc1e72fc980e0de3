/**
 * Writes the subset of CIFAR-10 that ships in app/data/cifar10: the same bytes every time, from the full, checked data set.
 * Run: npx tsx cli/node/data/cifar10-subset.ts
 */
import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { balancedSubset, parseCifar, writeCifar } from "../../../train/data/dataset.ts";
import { fetchCifar10 } from "./cifar10.ts";

const SEED = 0;
const PER_CLASS = { train: 200, test: 100 };

async function main(): Promise<void> {
  const out = fileURLToPath(new URL("../../../app/data/cifar10/", import.meta.url));
  await mkdir(out, { recursive: true });
  const full = await fetchCifar10({ log: console.log });
  for (const split of ["train", "test"] as const) {
    const set = parseCifar(await readFile(full[split]));
    const bytes = writeCifar(set, balancedSubset(set, PER_CLASS[split], SEED));
    await writeFile(`${out}${split}.bin`, bytes);
    console.log(`${split}.bin  ${bytes.length} bytes  ${createHash("sha256").update(bytes).digest("hex")}`);
  }
}

await main();

/**
 * The subset of CIFAR-10 that the demo and the tests use: the repository has it in app/data/cifar10. The packages do not, since its images
 * name no licence; installed, it is made once in the user's cache folder of the full set, to the same bytes.
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { balancedSubset, parseCifar, writeCifar } from "../../../train/data/dataset.ts";
import { shipped } from "../../place.ts";
import { writeAtomic } from "../files.ts";
import { defaultCacheDir } from "../../../bench/cache-dir.ts";
import { fetchCifar10 } from "./cifar10.ts";

const SEED = 0;
const SPLITS = {
  train: { perClass: 200, sha256: "96198876e557e6cd5d5ce4474f9b870f3b142710336060fcb24a095963fc47c8" },
  test: { perClass: 100, sha256: "54772eb60b81484d6449fecd8941db9e35040d29acbb88e6eadafac7f414363c" },
} as const;

/** Where train.bin and test.bin are, or are to be. */
export function subsetFolder(): string {
  const own = shipped("app/data/cifar10");
  return existsSync(join(own, "train.bin")) ? own : join(defaultCacheDir(), "cifar10-subset");
}

/** The folder of both files, which are made where one is missing. `log` gets a line of progress at a time. */
export async function fetchSubset(log: (line: string) => void): Promise<string> {
  const folder = subsetFolder();
  const there = (["train", "test"] as const).every((split) => existsSync(join(folder, `${split}.bin`)));
  if (!there) await makeSubset(folder, log);
  return folder;
}

/** Draws both files from the full set, fetched and checked, and checks them too. */
export async function makeSubset(folder: string, log: (line: string) => void): Promise<void> {
  const full = await fetchCifar10({ log });
  for (const split of ["train", "test"] as const) {
    const { perClass, sha256 } = SPLITS[split];
    const set = parseCifar(await readFile(full[split]));
    const bytes = writeCifar(set, balancedSubset(set, perClass, SEED));
    const got = createHash("sha256").update(bytes).digest("hex");
    if (got !== sha256) throw new Error(`cifar10-subset: expected ${split}.bin with SHA-256 ${sha256}, got ${got}`);
    await writeAtomic(join(folder, `${split}.bin`), bytes);
  }
}

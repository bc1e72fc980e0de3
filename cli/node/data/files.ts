/** Finds the data that `--data` names: a data set by name, or a folder, whose files tell its kind. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { shown } from "../../../models/shown.ts";
import type { DataFiles } from "../../../train/data/open.ts";
import { FASHION_MNIST_CLASSES } from "../../../train/data/idx.ts";
import { UsageError } from "../../../jobs/errors.ts";
import { defaultCacheDir } from "../../../bench/cache-dir.ts";
import { imageFolder } from "./image-folder.ts";
import { byCodePoint } from "./python-order.ts";
import { choose, splitNameIn, type Split } from "./splits.ts";
import { foldersIn } from "./walk.ts";
import { subsetFolder } from "./cifar10-subset.ts";
import { note } from "../../output.ts";

export type { Split } from "./splits.ts";

/** For `--help`. */
export const DATA_HELP =
  "cifar10-subset, cifar10 or fashion-mnist (see `data`), or a folder: train/CLASS/*.jpg and val/CLASS/*.jpg; train-*.tar and val-*.tar (WebDataset); CIFAR-10's or CIFAR-100's .bin files; IDX files; classes.txt names the classes of the last three, one a line";

/** Sets that `data` fetches, and their folders in the cache. */
export const FETCHED = ["cifar10", "fashion-mnist"] as const;

/** Padding of IDX images, in pixels per side: 28 x 28 become 32 x 32 as CIFAR's models take them; evaluation at 28 crops it off again. */
const IDX_PAD = 2;

/** Receives notes on a set: which split was chosen, how many files were left out. */
type Say = (line: string) => void;
const onStderr: Say = (line) => note(`data: ${line}`);

/** Training and validation split. Throws a `UsageError` that lists the layouts that were looked for. */
export const dataFiles = (name: string, say: Say = onStderr): { train: DataFiles; test: DataFiles } => ({
  train: dataSplit(name, "train", say),
  test: dataSplit(name, "val", say),
});

export function dataSplit(name: string, split: Split, say: Say = onStderr): DataFiles {
  if (name === "cifar10-subset") {
    const path = join(subsetFolder(), `${split === "train" ? "train" : "test"}.bin`);
    if (!existsSync(path)) throw new UsageError(`expected cifar10-subset in ${subsetFolder()}, got none; run: tessera data cifar10-subset`);
    return { kind: "cifar10", paths: [path] };
  }
  const fetched = (FETCHED as readonly string[]).includes(name) && !existsSync(name);
  const folder = fetched ? join(defaultCacheDir(), name) : resolve(name);
  if (!existsSync(folder) || !statSync(folder).isDirectory()) {
    throw new UsageError(
      fetched
        ? `expected ${name} in ${folder}, got none; run: tessera data ${name}`
        : `expected data as ${DATA_HELP}; got "${shown(name)}"`,
    );
  }
  const found = [cifar, idx, tar, images].map((look) => look(folder, split, say)).filter((files) => files !== null);
  if (found.length > 1)
    throw new UsageError(
      `expected one kind of data in "${shown(name)}" for its ${split} split, got ${found.map((f) => f.kind).join(" and ")}`,
    );
  if (!found[0])
    throw new UsageError(
      `expected the ${split} split in "${shown(name)}" as ${DATA_HELP.slice(DATA_HELP.indexOf("train/"))}; got ${listed(folder)}`,
    );
  return found[0];
}

/** Says which of several splits is used. */
function chosenOf(split: Split, there: Iterable<string>, say: Say, folder: string): string | undefined {
  const { chosen, others } = choose(split, new Set(there));
  if (others.length > 0) say(`${shown(folder)}: using ${chosen}; ${others.join(", ")} ${others.length > 1 ? "are" : "is"} there too`);
  return chosen;
}

/** One class a line in classes.txt; null without that file. */
function classesIn(folder: string): string[] | null {
  const path = join(folder, "classes.txt");
  if (!statSync(path, { throwIfNoEntry: false })?.isFile()) return null;
  const names = readFileSync(path, "utf8")
    .replace(/^\ufeff/, "")
    .split(/\r?\n/)
    .filter(Boolean);
  if (names.length === 0) throw new UsageError(`expected a class on each line of "${shown(path)}", got an empty file`);
  return names;
}

/** train.bin and test.bin of CIFAR-10 or -100, told apart by the length of a record; or CIFAR-10's own five batches. */
function cifar(folder: string, split: Split, say: Say): DataFiles | null {
  const classes = classesIn(folder);
  const named = classes ? { classes } : {};
  const batches = split === "train" ? [1, 2, 3, 4, 5].map((i) => join(folder, `data_batch_${i}.bin`)) : [join(folder, "test_batch.bin")];
  const there = batches.filter((path) => existsSync(path));
  if (there.length > 0) {
    if (there.length < batches.length)
      throw new UsageError(`expected ${batches.length} batches data_batch_*.bin in "${shown(folder)}", got ${there.length}`);
    return { kind: "cifar10", paths: batches, ...named };
  }
  const found = new Map(
    filesIn(folder).flatMap((file) => [...(/^(?:cifar10-)?([a-z]+)\.bin$/.exec(file)?.slice(1, 2) ?? [])].map((n) => [n, file])),
  );
  const chosen = chosenOf(split, found.keys(), say, folder);
  if (chosen === undefined) return null;
  const path = join(folder, found.get(chosen)!);
  const { size } = statSync(path);
  return size > 0 && size % 3074 === 0 && size % 3073 !== 0 ? { kind: "cifar100", path } : { kind: "cifar10", paths: [path], ...named };
}

/** MNIST's file names, and EMNIST's, which begin with the set's name; plain or gzip. */
const IDX_NAME = /^(.*?)(train|t10k|test|val|valid|validation)-(images|labels)[-.]idx[13]-ubyte(?:\.gz)?$/;

function idx(folder: string, split: Split, say: Say): DataFiles | null {
  const found = filesIn(folder).flatMap((file) => {
    const [, set, name, what] = IDX_NAME.exec(file) ?? [];
    return name === undefined ? [] : [{ file, set: set!, name, what: what! }];
  });
  const sets = [...new Set(found.map((f) => f.set))];
  if (sets.length > 1)
    throw new UsageError(`expected one set of IDX files in "${shown(folder)}", got ${sets.map((set) => shown(`${set}*`)).join(" and ")}`);
  const chosen = chosenOf(split, new Set(found.map((f) => f.name)), say, folder);
  if (chosen === undefined) return null;
  const file = (what: string) => found.find((f) => f.name === chosen && f.what === what)?.file;
  const [pictures, labels] = [file("images"), file("labels")];
  if (!pictures || !labels) {
    const names = ["images-idx3", "labels-idx1"].map((what) => `${sets[0]}${chosen}-${what}-ubyte`);
    throw new UsageError(`expected ${shown(names.join(" and "))} in "${shown(folder)}", got ${pictures ? "no labels" : "no images"}`);
  }
  const classes = classesIn(folder) ?? (/fashion/i.test(folder) ? FASHION_MNIST_CLASSES : null);
  return { kind: "idx", images: join(folder, pictures), labels: join(folder, labels), classes, pad: IDX_PAD };
}

/** Shards whose names contain the split's name, or *.tar in a folder of that name. */
function tar(folder: string, split: Split, say: Say): DataFiles | null {
  const shards = new Map<string, string[]>();
  const add = (name: string | undefined, path: string): void => {
    if (name !== undefined) shards.set(name, [...(shards.get(name) ?? []), path]);
  };
  for (const file of filesIn(folder)) if (isShard(file, folder)) add(splitNameIn(file), join(folder, file));
  for (const name of foldersIn(folder).filter((n) => splitNameIn(n) === n))
    for (const file of filesIn(join(folder, name))) if (isShard(file, folder)) add(name, join(folder, name, file));
  const chosen = chosenOf(split, shards.keys(), say, folder);
  if (chosen === undefined) return null;
  return { kind: "tar", shards: shards.get(chosen)!.sort(byCodePoint), classes: classesIn(folder) };
}

function isShard(file: string, folder: string): boolean {
  if (/\.(tgz|tar\.(gz|bz2|xz|zst))$/i.test(file) && splitNameIn(file) !== undefined)
    throw new UsageError(`expected shards unpacked to .tar in "${shown(folder)}", got ${shown(file)}`);
  return file.endsWith(".tar");
}

/** A folder per class; see image-folder.ts. */
function images(folder: string, split: Split, say: Say): DataFiles | null {
  const there = foldersIn(folder).filter((name) => foldersIn(join(folder, name)).length > 0);
  const chosen = chosenOf(split, there, say, folder);
  const training = choose("train", new Set(there)).chosen ?? "train";
  return chosen === undefined ? null : imageFolder(join(folder, chosen), join(folder, training), say);
}

const filesIn = (path: string): string[] =>
  readdirSync(path)
    .filter((name) => statSync(join(path, name), { throwIfNoEntry: false })?.isFile() ?? false)
    .sort(byCodePoint);

function listed(folder: string): string {
  const names = readdirSync(folder).sort(byCodePoint).map(shown);
  return names.length === 0
    ? "an empty folder"
    : `${names.slice(0, 6).join(", ")}${names.length > 6 ? `, and ${names.length - 6} more` : ""}`;
}

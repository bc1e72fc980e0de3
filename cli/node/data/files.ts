/** What `--data` names: a data set by name, or a folder that is looked into. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import type { DataFiles } from "../../../train/data/open.ts";
import { DIGITS, FASHION_MNIST_CLASSES } from "../../../train/data/idx.ts";
import { UsageError } from "../../../jobs/errors.ts";
import { defaultCacheDir } from "./cifar10.ts";
import { shipped } from "../../model-options.ts";

export type Split = "train" | "test";

/** For `--help`. */
export const DATA_HELP =
  "cifar10-subset (ships), cifar10 or fashion-mnist (see `data`), or a folder: train/CLASS/*.jpg and val/CLASS/*.jpg; train-*.tar and val-*.tar (WebDataset); CIFAR-10's or CIFAR-100's .bin files; IDX files";

/** Sets that `data` fetches, and their folders in the cache. */
export const FETCHED = ["cifar10", "fashion-mnist"] as const;

/** Zero pixels on every side of IDX images: 28 x 28 become the 32 x 32 of CIFAR's models; evaluation at 28 cuts them off again. */
const IDX_PAD = 2;

const SPLIT_NAMES: Readonly<Record<Split, readonly string[]>> = { train: ["train"], test: ["test", "val", "valid", "validation"] };
const IDX_NAMES: Readonly<Record<Split, string>> = { train: "train", test: "t10k" };
const IMAGE = /\.(jpe?g|png|webp)$/i;

/** Both splits. Throws a `UsageError` that says what was looked for. */
export const dataFiles = (name: string): { train: DataFiles; test: DataFiles } => ({
  train: dataSplit(name, "train"),
  test: dataSplit(name, "test"),
});

export function dataSplit(name: string, split: Split): DataFiles {
  if (name === "cifar10-subset") return { kind: "cifar10", paths: [shipped(`app/data/cifar10/${split}.bin`)] };
  const fetched = (FETCHED as readonly string[]).includes(name) && !existsSync(name);
  const folder = fetched ? join(defaultCacheDir(), name) : resolve(name);
  if (!existsSync(folder) || !statSync(folder).isDirectory()) {
    throw new UsageError(
      fetched ? `expected ${name} in ${folder}, got none; run: npm run data -- ${name}` : `expected data as ${DATA_HELP}; got "${name}"`,
    );
  }
  const found = [cifar(folder, split), idx(folder, split), tar(folder, split), images(folder, split)].filter((files) => files !== null);
  if (found.length > 1)
    throw new UsageError(`expected one kind of data in "${name}" for its ${split} split, got ${found.map((f) => f.kind).join(" and ")}`);
  if (!found[0])
    throw new UsageError(
      `expected the ${split} split in "${name}" as ${DATA_HELP.slice(DATA_HELP.indexOf("train/"))}; got ${listed(folder)}`,
    );
  return found[0];
}

/** train.bin and test.bin of CIFAR-10 or -100, told apart by the length of a record; or CIFAR-10's own five batches. */
function cifar(folder: string, split: Split): DataFiles | null {
  const batches = split === "train" ? [1, 2, 3, 4, 5].map((i) => join(folder, `data_batch_${i}.bin`)) : [join(folder, "test_batch.bin")];
  const there = batches.filter((path) => existsSync(path));
  if (there.length > 0) {
    if (there.length < batches.length)
      throw new UsageError(`expected ${batches.length} batches data_batch_*.bin in "${folder}", got ${there.length}`);
    return { kind: "cifar10", paths: batches };
  }
  const path = [`${split}.bin`, `cifar10-${split}.bin`].map((file) => join(folder, file)).find((p) => existsSync(p));
  if (path === undefined) return null;
  const { size } = statSync(path);
  return size > 0 && size % 3074 === 0 && size % 3073 !== 0 ? { kind: "cifar100", path } : { kind: "cifar10", paths: [path] };
}

/** MNIST's names, packed or not. The digits are the classes, unless the folder is called after fashion. */
function idx(folder: string, split: Split): DataFiles | null {
  const file = (what: string) => {
    const names = [`${IDX_NAMES[split]}-${what}-ubyte`, `${IDX_NAMES[split]}-${what.replace("-", ".")}-ubyte`];
    return names
      .flatMap((n) => [n, `${n}.gz`])
      .map((n) => join(folder, n))
      .find((p) => existsSync(p));
  };
  const [pictures, labels] = [file("images-idx3"), file("labels-idx1")];
  if (!pictures && !labels) return null;
  if (!pictures || !labels)
    throw new UsageError(
      `expected ${IDX_NAMES[split]}-images-idx3-ubyte and ${IDX_NAMES[split]}-labels-idx1-ubyte in "${folder}", got ${pictures ? "no labels" : "no images"}`,
    );
  return { kind: "idx", images: pictures, labels, classes: /fashion/i.test(folder) ? FASHION_MNIST_CLASSES : DIGITS, pad: IDX_PAD };
}

/** Shards train-*.tar, or train/*.tar; the classes' names in classes.txt, one a line, or their numbers. */
function tar(folder: string, split: Split): DataFiles | null {
  const within = SPLIT_NAMES[split].map((name) => join(folder, name)).find((path) => isFolder(path));
  const shards = [
    ...files(folder)
      .filter((file) => file.endsWith(".tar") && SPLIT_NAMES[split].some((name) => new RegExp(`^${name}[-_.\\d]`).test(file)))
      .map((file) => join(folder, file)),
    ...(within
      ? files(within)
          .filter((file) => file.endsWith(".tar"))
          .map((file) => join(within, file))
      : []),
  ].sort();
  if (shards.length === 0) return null;
  const names = join(folder, "classes.txt");
  return { kind: "tar", shards, classes: existsSync(names) ? readFileSync(names, "utf8").split(/\r?\n/).filter(Boolean) : null };
}

/** A folder per class, with images at any depth, as torchvision's ImageFolder. Both splits number the classes as the training split does. */
function images(folder: string, split: Split): DataFiles | null {
  const root = SPLIT_NAMES[split].map((name) => join(folder, name)).find((path) => isFolder(path) && folders(path).length > 0);
  if (!root) return null;
  const own = folders(root);
  const train = join(folder, "train");
  const names = isFolder(train) && folders(train).length > 0 ? folders(train) : own;
  const unknown = own.find((name) => !names.includes(name));
  if (unknown !== undefined) throw new UsageError(`expected the classes of "${train}" in "${root}", got "${unknown}" besides`);
  const classes = names.map((name) => ({ name, files: own.includes(name) ? within(join(root, name)) : [] }));
  const empty = split === "train" ? classes.find((c) => c.files.length === 0) : undefined;
  if (empty) throw new UsageError(`expected images (.jpg, .jpeg, .png, .webp) in "${join(root, empty.name)}", got none`);
  if (classes.every((c) => c.files.length === 0)) throw new UsageError(`expected images (.jpg, .jpeg, .png, .webp) in "${root}", got none`);
  return { kind: "folder", root, classes };
}

const isFolder = (path: string): boolean => existsSync(path) && statSync(path).isDirectory();
const folders = (path: string): string[] =>
  readdirSync(path)
    .filter((name) => !name.startsWith(".") && isFolder(join(path, name)))
    .sort();
const files = (path: string): string[] =>
  readdirSync(path)
    .filter((name) => !isFolder(join(path, name)))
    .sort();

/** Image files below a folder, by paths from it. */
const within = (root: string): string[] =>
  readdirSync(root, { recursive: true, encoding: "utf8" })
    .map((path) => path.replaceAll("\\", "/"))
    .filter((path) => IMAGE.test(path) && !/(^|\/)\./.test(path))
    .sort();

function listed(folder: string): string {
  const names = readdirSync(folder).sort();
  return names.length === 0
    ? "an empty folder"
    : `${names.slice(0, 6).join(", ")}${names.length > 6 ? `, and ${names.length - 6} more` : ""}`;
}

/** Opens found data as an `ImageSource`. Reads sets of small images whole; of folders and shards only names, headers and labels. */
import { parseCifar, type ImageSet } from "./dataset.ts";
import { memorySource, type FileRange, type ImageSource } from "../input/source.ts";
import { parseCifar100 } from "./cifar100.ts";
import { gunzip, numbered, parseIdxImages } from "./idx.ts";
import { indexTar, type TarSample } from "./tar.ts";

/** One split, as plain data. */
export type DataFiles =
  | { readonly kind: "cifar10" /** One after the other. */; readonly paths: readonly string[]; readonly classes?: readonly string[] }
  | { readonly kind: "cifar100"; readonly path: string }
  /** `classes` null: as many as labels go up to. */
  | {
      readonly kind: "idx";
      readonly images: string;
      readonly labels: string;
      readonly classes: readonly string[] | null;
      readonly pad: number;
    }
  | {
      readonly kind: "folder";
      readonly root: string;
      /** Files by their path from the class's folder, whose name is the class's unless given. */
      readonly classes: readonly { readonly name: string; readonly folder?: string; readonly files: readonly string[] }[];
    }
  /** `classes` null: as many as labels go up to. */
  | { readonly kind: "tar"; readonly shards: readonly string[]; readonly classes: readonly string[] | null };

type Read = (from: FileRange) => Promise<Uint8Array<ArrayBuffer>>;

/**
 * `classes` are those of the model, or of the training split: a set without class names gets these, even if its labels do not reach the
 * last. A number means that many classes without names.
 */
export async function openSource(files: DataFiles, read: Read, classes?: number | readonly string[]): Promise<ImageSource> {
  switch (files.kind) {
    case "folder":
      return openFolder(files);
    case "tar":
      return openTar(files, read, classes);
    default:
      return memorySource(
        await openSet(files, read, classes),
        files.kind === "cifar10" ? files.paths.join(" + ") : files.kind === "cifar100" ? files.path : files.images,
      );
  }
}

/** A set of small images, in memory. */
export async function openSet(
  files: Exclude<DataFiles, { kind: "folder" | "tar" }>,
  read: Read,
  classes?: number | readonly string[],
): Promise<ImageSet> {
  if (files.kind === "idx") {
    const [images, labels] = await Promise.all([files.images, files.labels].map(async (path) => gunzip(await read({ path }), path)));
    return parseIdxImages({
      images: images!,
      labels: labels!,
      names: [files.images, files.labels],
      classes: files.classes ?? (typeof classes === "object" ? classes : null),
      atLeast: typeof classes === "number" ? classes : undefined,
      pad: files.pad,
    });
  }
  const paths = files.kind === "cifar10" ? files.paths : [files.path];
  const sets: ImageSet[] = [];
  for (const path of paths) {
    const bytes = await read({ path });
    try {
      sets.push(files.kind === "cifar100" ? parseCifar100(bytes) : parseCifar(bytes, files.classes));
    } catch (error) {
      throw new Error(`${path}: ${(error as Error).message}`);
    }
  }
  return sets.length === 1 ? sets[0]! : joined(sets);
}

/** One set after the other. */
function joined(sets: readonly ImageSet[]): ImageSet {
  const count = sets.reduce((n, s) => n + s.count, 0);
  const images = new Uint8Array(sets.reduce((n, s) => n + s.images.length, 0)),
    labels = new Uint8Array(count);
  let at = 0,
    bytes = 0;
  for (const set of sets) {
    images.set(set.images, bytes);
    labels.set(set.labels, at);
    [at, bytes] = [at + set.count, bytes + set.images.length];
  }
  return { ...sets[0]!, images, labels, count };
}

function openFolder({ root, classes }: Extract<DataFiles, { kind: "folder" }>): ImageSource {
  const starts = [0];
  for (const { files } of classes) starts.push(starts.at(-1)! + files.length);
  const labels = new Uint32Array(starts.at(-1)!);
  classes.forEach((_, k) => labels.fill(k, starts[k], starts[k + 1]));
  const path = (i: number): string => {
    const k = labels[i]!;
    const { name, folder = name, files } = classes[k]!;
    return `${root}/${folder}/${files[i - starts[k]!]}`;
  };
  return {
    count: labels.length,
    classes: classes.map((c) => c.name),
    shape: null,
    label: (i) => labels[i]!,
    name: path,
    at: (i) => ({ path: path(i) }),
  };
}

/** Labels up to this are accepted from any number of samples; larger ones need at least as many samples as classes, or names, or a model. */
const FEW_CLASSES = 1000;

async function openTar(
  { shards, classes: own }: Extract<DataFiles, { kind: "tar" }>,
  read: Read,
  given?: number | readonly string[],
): Promise<ImageSource> {
  const indexed: TarSample[][] = [];
  for (const shard of shards) indexed.push(await indexTar(shard, read));
  const samples = indexed.flat();
  if (samples.length === 0) throw new Error(`tar: expected samples of an image and a .cls or .json in ${shards.join(", ")}, got none`);
  const known = own ?? given;
  const most = typeof known === "number" ? known : (known?.length ?? Math.max(samples.length, FEW_CLASSES));
  const wrong = samples.find((s) => s.label >= most);
  if (wrong) {
    const why = known === undefined ? ` (${samples.length} samples; more classes are named in classes.txt)` : "";
    throw new Error(`tar: expected a class below ${most}${why} in sample ${wrong.key} of ${wrong.image.path}, got ${wrong.label}`);
  }
  const classes = typeof known === "object" ? known : numbered(known ?? samples.reduce((top, s) => Math.max(top, s.label + 1), 0));
  return {
    count: samples.length,
    classes,
    shape: null,
    label: (i) => samples[i]!.label,
    name: (i) => `${samples[i]!.image.path}, sample ${samples[i]!.key}`,
    at: (i) => samples[i]!.image,
  };
}

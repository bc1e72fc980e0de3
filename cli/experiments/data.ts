/** The sets that runs are trained on and judged by: made once, each a folder with train.bin and test.bin in the form that `--data` reads. */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { balancedSubset, parseCifar, writeCifar, type ImageSet } from "../../train/data/dataset.ts";
import { openSet } from "../../train/data/open.ts";
import type { SetName } from "../../train/experiments/experiment.ts";
import { fetchCifar10 } from "../node/data/cifar10.ts";
import { fetchFashionMnist } from "../node/data/fashion-mnist.ts";
import { dataSplit } from "../node/data/files.ts";
import { drawLetters, LETTERS } from "../node/data/letters.ts";
import { fetchMnist } from "../node/data/mnist.ts";
import { writeAtomic } from "../node/files.ts";
import { readRange } from "../node/images.ts";
import { note } from "../output.ts";

type Whole = Readonly<Record<"train" | "test", ImageSet>>;

/** Test pictures of a class, for learning curves and targets; of "cifar10/all" there are all 10,000 in all. */
const TEST_PER_CLASS: Readonly<Record<string, number>> = { cifar10: 100, fashion: 200, digits: 200, letters: 200 };
/** Most training pictures of a class that letters are drawn for. */
const LETTERS_PER_CLASS = 1000;

/** Which pictures are chosen; other ones would be other sets. */
const SEED = 0;

export const setFolder = (out: string, name: SetName): string => join(out, "data", name.replace("/", "-"));

/** Makes the sets that are missing. */
export async function makeSets(out: string, names: readonly SetName[]): Promise<void> {
  const sources = new Map<string, Promise<Whole>>();
  for (const name of new Set(names)) {
    const folder = setFolder(out, name);
    const files = ["train.bin", "test.bin", "classes.txt"].map((file) => join(folder, file));
    if (files.every((file) => existsSync(file))) continue;
    const [source, number] = name.split("/") as [keyof typeof SOURCES, string];
    if (!sources.has(source)) sources.set(source, SOURCES[source](out));
    const { train, test } = await sources.get(source)!;
    const all = number === "all";
    const part = (set: ImageSet, each: number) => writeCifar(set, balancedSubset(set, each, SEED));
    const every = (set: ImageSet) =>
      writeCifar(
        set,
        Uint32Array.from({ length: set.count }, (_, i) => i),
      );
    await writeAtomic(files[0]!, all ? every(train) : part(train, Number(number)));
    await writeAtomic(files[1]!, all ? every(test) : part(test, TEST_PER_CLASS[source]!));
    await writeAtomic(files[2]!, new TextEncoder().encode(`${train.classes.join("\n")}\n`));
    note(`experiments: made ${folder}`);
  }
}

const SOURCES = {
  async cifar10(): Promise<Whole> {
    const { train, test } = await fetchCifar10({ log: note });
    return { train: parseCifar(await readFile(train)), test: parseCifar(await readFile(test)) };
  },
  fashion: async (): Promise<Whole> => idxSet(await fetchFashionMnist({ log: note })),
  digits: async (): Promise<Whole> => idxSet(await fetchMnist(note)),
  /** Drawn once for all sizes: a smaller set is a part of the largest. */
  async letters(out: string): Promise<Whole> {
    const files = (["train", "test"] as const).map((split) => join(out, "data", "letters-drawn", `${split}.bin`));
    if (!files.every((file) => existsSync(file))) {
      note("experiments: drawing letters");
      const drawn = await drawLetters({ train: LETTERS_PER_CLASS, test: TEST_PER_CLASS["letters"]! });
      await writeAtomic(files[0]!, drawn.train);
      await writeAtomic(files[1]!, drawn.test);
    }
    const [train, test] = await Promise.all(files.map(async (file) => parseCifar(await readFile(file), LETTERS)));
    return { train: train!, test: test! };
  },
};

/** Grey pictures of 28 x 28 in a frame of zeros, in three channels. */
async function idxSet(folder: string): Promise<Whole> {
  const open = async (split: "train" | "test") => {
    const files = dataSplit(folder, split);
    if (files.kind !== "idx") throw new Error(`experiments: expected IDX files in ${folder}, got ${files.kind}`);
    return openSet(files, readRange);
  };
  return { train: await open("train"), test: await open("test") };
}

/** The set that models are transferred to: a part of Fashion-MNIST, in the form that `--data` reads. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { balancedSubset, writeCifar } from "../../train/data/dataset.ts";
import { openSet } from "../../train/data/open.ts";
import { dataSplit } from "../node/data/files.ts";
import { readRange } from "../node/images.ts";
import { writeAtomic } from "../node/files.ts";
import { fetchFashionMnist } from "../node/data/fashion-mnist.ts";
import { note } from "../output.ts";

/** Images per class: the same number as the shipped part of CIFAR-10. */
const PER_CLASS: Readonly<Record<"train" | "test", number>> = { train: 200, test: 100 };

/** Folder with train.bin and test.bin, made once. */
export async function targetData(out: string): Promise<string> {
  const folder = join(out, "data", "fashion-mnist");
  const missing = (["train", "test"] as const).filter((split) => !existsSync(join(folder, `${split}.bin`)));
  if (missing.length === 0) return folder;
  const whole = await fetchFashionMnist({ log: (line) => note(`${line}`) });
  for (const split of missing) {
    const files = dataSplit(whole, split);
    if (files.kind !== "idx") throw new Error(`experiments: expected IDX files in ${whole}, got ${files.kind}`);
    const set = await openSet(files, readRange);
    await writeAtomic(join(folder, `${split}.bin`), writeCifar(set, balancedSubset(set, PER_CLASS[split], 0)));
  }
  return folder;
}

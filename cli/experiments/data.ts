/** The set that models are transferred to: a part of Fashion-MNIST, in the form that `--data` reads. */
import { existsSync } from "node:fs";
import { join } from "node:path";

/** Folder with train.bin and test.bin. */
export async function targetData(out: string): Promise<string> {
  const folder = join(out, "data", "fashion-mnist");
  if (existsSync(join(folder, "test.bin"))) return folder;
  throw new Error(`experiments: expected the transfer set in ${folder}`);
}

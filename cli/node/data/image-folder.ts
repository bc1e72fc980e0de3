/** A folder per class, as torchvision's `ImageFolder`. */
import { join } from "node:path";
import { existsSync } from "node:fs";
import { IMAGE_ENDINGS } from "../../../models/images/kinds.ts";
import { shown } from "../../../models/shown.ts";
import type { DataFiles } from "../../../train/data/open.ts";
import { UsageError } from "../../../jobs/errors.ts";
import { foldersIn, imagesBelow, LeftOut } from "./walk.ts";

/**
 * Images at any depth of the class folders in `root`. All splits number the classes as the folder `train` beside it does; a class of another
 * split is found there by its name, also where one of the two is composed (NFC) and the other decomposed (NFD) Unicode.
 * `say` is told how many files were left out, and why. Null where `root` has no folders.
 */
export function imageFolder(root: string, train: string, say: (line: string) => void): DataFiles | null {
  const own = foldersIn(root);
  if (own.length === 0) return null;
  const names = existsSync(train) && foldersIn(train).length > 0 ? foldersIn(train) : own;
  const folderOf = new Map<string, string>();
  for (const name of own) {
    const same = names.includes(name) ? [name] : names.filter((n) => n.normalize() === name.normalize());
    if (same.length !== 1)
      throw new UsageError(`expected the classes of "${shown(train)}" in "${shown(root)}", got "${shown(name)}" besides`);
    if (folderOf.has(same[0]!))
      throw new UsageError(
        `expected one folder of class "${shown(same[0]!)}" in "${shown(root)}", got two that differ in Unicode's form alone`,
      );
    folderOf.set(same[0]!, name);
  }
  const left = new LeftOut();
  const classes = names.map((name) => {
    const folder = folderOf.get(name);
    const files = folder === undefined ? [] : imagesBelow(join(root, folder), left);
    return { name, files, ...(folder === undefined || folder === name ? {} : { folder }) };
  });
  const files = classes.reduce((n, c) => n + c.files.length, 0);
  const empty = root === train ? classes.find((c) => c.files.length === 0) : undefined;
  if (empty || files === 0) {
    const where = shown(empty ? join(root, empty.name) : root);
    throw new UsageError(
      `expected images (${IMAGE_ENDINGS}) in "${where}", got none${left.total > 0 ? `; left out: ${shown(`${left}`)}` : ""}`,
    );
  }
  if (left.total > 0) say(`${shown(root)}: ${files} images; ${left.total} left out: ${shown(`${left}`)}`);
  return { kind: "folder", root, classes };
}

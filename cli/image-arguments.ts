/** Image files and folders of them, as arguments of a verb. */
import { readdirSync, statSync } from "node:fs";
import { basename, extname, join } from "node:path";
import { UsageError } from "../jobs/errors.ts";
import { IMAGE_ENDINGS, isImageName } from "../models/images/kinds.ts";
import { shown } from "../models/shown.ts";
import { byCodePoint } from "./node/data/python-order.ts";

/** `stem` is distinct, for files that are written of the image. */
interface ImageFile {
  readonly path: string;
  readonly stem: string;
}

/** The files that the arguments name. Throws a `UsageError` where there are none. */
export const imagesIn = (paths: readonly string[]): readonly ImageFile[] => named(paths.flatMap(expand));

/** The files; a folder is replaced by its images, sorted by name. */
function expand(path: string): string[] {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat) throw new UsageError(`expected an image or a folder at "${shown(path)}", got none`);
  if (!stat.isDirectory()) return [path];
  const found = readdirSync(path)
    .filter((name) => isImageName(name) && !name.startsWith(".") && !statSync(join(path, name), { throwIfNoEntry: false })?.isDirectory())
    .sort(byCodePoint)
    .map((name) => join(path, name));
  if (found.length === 0) throw new UsageError(`expected images (${IMAGE_ENDINGS}) in "${shown(path)}", got none`);
  return found;
}

/** Gives each image a distinct name for files that are written of it. */
function named(paths: readonly string[]): readonly ImageFile[] {
  const taken = new Set<string>();
  return paths.map((path) => {
    const own = basename(path, extname(path));
    let stem = own;
    for (let n = 2; taken.has(stem); n++) stem = `${own}-${n}`;
    taken.add(stem);
    return { path, stem };
  });
}

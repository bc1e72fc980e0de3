/** The image files below a folder, in torchvision's order, and what was passed over. */
import { readdirSync, statSync, type Dirent, type Stats } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { isImageName } from "../../../models/images/kinds.ts";
import { byCodePoint } from "./python-order.ts";

/** Counts of passed-over entries by reason. */
export class LeftOut {
  readonly #counts = new Map<string, number>();

  add(reason: string): void {
    this.#counts.set(reason, (this.#counts.get(reason) ?? 0) + 1);
  }

  get total(): number {
    return [...this.#counts.values()].reduce((a, b) => a + b, 0);
  }

  /** "2 .heic, 1 hidden", most first. */
  toString(): string {
    const most = [...this.#counts].sort(([a, m], [b, n]) => n - m || byCodePoint(a, b));
    const shown = most.slice(0, 6).map(([reason, n]) => `${n} ${reason}`);
    return [...shown, ...(most.length > 6 ? [`and of ${most.length - 6} more kinds`] : [])].join(", ");
  }
}

/**
 * Paths from `root`, with "/" between folders. As torchvision's `os.walk(followlinks=True)` in sorted order: a folder's own files come before
 * those of its subfolders. Links are followed; a folder reached a second time, or one that `root` lies in, is passed over.
 */
export function imagesBelow(root: string, left: LeftOut): string[] {
  const entered = new Set(ancestors(resolve(root)).map((path) => identity(statSync(path))));
  const folders: { readonly path: string; readonly files: string[] }[] = [];
  const waiting = [""];
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    const files: string[] = [];
    for (const entry of entries(join(root, path), left)) {
      const below = path === "" ? entry.name : `${path}/${entry.name}`;
      const found = kindOf(entry, join(root, below));
      if (entry.name.startsWith(".")) {
        if (found === "folder" || isImageName(entry.name)) left.add("hidden");
      } else if (found === "folder") {
        const id = identity(statSync(join(root, below)));
        if (entered.has(id)) left.add("folders that a link reaches again");
        else waiting.push(below);
        entered.add(id);
      } else if (found !== "file") left.add(found);
      else if (isImageName(entry.name)) files.push(entry.name);
      else left.add(/\.[^.]+$/.exec(entry.name)?.[0].toLowerCase() ?? "without an ending");
    }
    folders.push({ path, files: files.sort(byCodePoint) });
  }
  folders.sort((a, b) => byCodePoint(a.path, b.path));
  return folders.flatMap(({ path, files }) => files.map((name) => (path === "" ? name : `${path}/${name}`)));
}

/** Names of the folders in a folder, links to folders included, hidden ones not, in Python's order. */
export const foldersIn = (path: string): string[] =>
  readdirSync(path, { withFileTypes: true })
    .filter((entry) => !entry.name.startsWith(".") && kindOf(entry, join(path, entry.name)) === "folder")
    .map((entry) => entry.name)
    .sort(byCodePoint);

function entries(path: string, left: LeftOut): Dirent[] {
  try {
    return readdirSync(path, { withFileTypes: true }).sort((a, b) => byCodePoint(a.name, b.name));
  } catch (error) {
    left.add(`folders that cannot be read (${(error as NodeJS.ErrnoException).code})`);
    return [];
  }
}

/** What an entry is, links followed; else why it is neither a file nor a folder. */
function kindOf(entry: Dirent, path: string): "file" | "folder" | (string & {}) {
  let what: Dirent | Stats = entry;
  if (!entry.isFile() && !entry.isDirectory()) {
    try {
      what = statSync(path);
    } catch (error) {
      return `links that cannot be followed (${(error as NodeJS.ErrnoException).code})`;
    }
  }
  // Node replaces bytes that are not UTF-8, and then finds no file of that name.
  if (entry.name.includes("\ufffd") && !statSync(path, { throwIfNoEntry: false })) return "with a name that is not UTF-8";
  return what.isFile() ? "file" : what.isDirectory() ? "folder" : "pipes, sockets or devices";
}

/** A path and the folders that it lies in. */
const ancestors = (path: string): string[] => (dirname(path) === path ? [path] : [path, ...ancestors(dirname(path))]);

const identity = ({ dev, ino }: Stats): string => `${dev}:${ino}`;

/** Downloads kept in the user's cache folder: each a file, and beside it what makes it whole, written last. */
import { createHash } from "node:crypto";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { DownloadCache } from "../../models/checkpoints/url.ts";
import { defaultCacheDir } from "./data/cifar10.ts";
import { readWhole, writeAtomic } from "./files.ts";

interface Record {
  readonly url: string;
  readonly sha256: string;
}

export function downloadFolder(folder = join(defaultCacheDir(), "weights")): DownloadCache {
  const paths = (url: string) => {
    const name =
      new URL(url).pathname
        .split("/")
        .at(-1)!
        .replace(/[^\w.-]/g, "_")
        .slice(-80) || "file";
    const file = join(folder, `${createHash("sha256").update(url).digest("hex").slice(0, 16)}-${name}`);
    return { file, record: `${file}.json` };
  };
  return {
    async get(url) {
      const { file, record } = paths(url);
      try {
        const { url: of, sha256 } = JSON.parse(await readFile(record, "utf8")) as Record;
        return of === url ? { bytes: await readWhole(file), sha256 } : null;
      } catch {
        return null; // none, or one that is not whole: it is fetched again
      }
    },
    async put(url, bytes, sha256) {
      const { file, record } = paths(url);
      await mkdir(folder, { recursive: true });
      await rm(record, { force: true });
      await writeAtomic(file, bytes);
      await writeFile(record, `${JSON.stringify({ url, sha256 } satisfies Record)}\n`);
    },
  };
}

/** Downloads kept in the user's cache folder: each a file with its record (length, checksum, version) beside it, written last. */
import { createHash } from "node:crypto";
import { chmod, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { withoutQuery } from "../../models/checkpoints/fetch-file.ts";
import type { DownloadCache } from "../../models/checkpoints/url.ts";
import { defaultCacheDir } from "../../bench/cache-dir.ts";
import { readWhole, writeAtomic } from "./files.ts";

interface Record {
  /** The URL as shown: without the query, which may hold a key. */
  readonly url: string;
  /** SHA-256 of the whole URL. */
  readonly urlSha256: string;
  readonly sha256: string;
  readonly etag: string | null;
  readonly lastModified: string | null;
}

const digest = (text: string): string => createHash("sha256").update(text).digest("hex");

export function downloadFolder(folder = join(defaultCacheDir(), "weights")): DownloadCache {
  const paths = (url: string) => {
    const name =
      new URL(url).pathname
        .split("/")
        .at(-1)!
        .replace(/[^\w.-]/g, "_")
        .slice(-80) || "file";
    const file = join(folder, `${digest(url).slice(0, 16)}-${name}`);
    return { file, record: `${file}.json` };
  };
  return {
    async get(url) {
      const { file, record } = paths(url);
      try {
        const { urlSha256, sha256, etag, lastModified } = JSON.parse(await readFile(record, "utf8")) as Record;
        return urlSha256 === digest(url) ? { bytes: await readWhole(file), sha256, etag, lastModified } : null;
      } catch {
        return null; // none, or one that is not whole: it is fetched again
      }
    },
    async put(url, { bytes, sha256, etag, lastModified }) {
      const { file, record } = paths(url);
      await mkdir(folder, { recursive: true, mode: 0o700 });
      await rm(record, { force: true });
      await writeAtomic(file, bytes);
      await chmod(file, 0o600);
      const kept: Record = { url: withoutQuery(url), urlSha256: digest(url), sha256, etag, lastModified };
      await writeFile(record, `${JSON.stringify(kept)}\n`, { mode: 0o600 });
    },
  };
}

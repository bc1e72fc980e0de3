/**
 * Weights from a URL, with a cache. Only files that were read as weights are kept; a kept file is checked by its SHA-256, and the server is
 * asked whether it still has that version.
 */
import { fail, type FetchedFile, fetchFile, type FetchOptions, type Version, withoutQuery } from "./fetch-file.ts";
import { checkWeightFile } from "./sharded.ts";

export interface KeptFile extends FetchedFile {
  /** In hexadecimal. */
  readonly sha256: string;
}

/** Where downloads are kept: a folder (cli/node/download-folder.ts) or a page's Cache (`pageCache`). What it returns is checked again. */
export interface DownloadCache {
  get(url: string): Promise<KeptFile | null>;
  put(url: string, file: KeptFile): Promise<void>;
}

export interface DownloadOptions extends FetchOptions {
  /** `null` or left out: nothing is kept. */
  readonly cache?: DownloadCache | null | undefined;
  /** Downloads anew, whatever is kept. */
  readonly refresh?: boolean | undefined;
}

export interface Download {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** In hexadecimal. */
  readonly sha256: string;
  /** "checked": from the cache, confirmed by the server or the URL's checksum; "unchecked": from the cache, and the server could not be asked. */
  readonly cached: false | "checked" | "unchecked";
}

const HASH = /^sha256=([0-9a-f]{64})$/i;

/**
 * The file at `url`. A fragment `#sha256=…` says which checksum it must have. Throws `download: expected …, got …` for any answer but a
 * whole file: an error's status, a body that stays short or stalls after some tries, another checksum. A file that holds no weights is
 * given as it is, but not kept.
 */
export async function loadUrl(url: string, options: DownloadOptions = {}): Promise<Download> {
  const { cache, refresh = false } = options;
  const { address, wanted } = parse(url);
  const kept = refresh ? null : await goodKept(cache, address, wanted);
  if (kept && wanted !== null) return given(kept, "checked");
  if (kept && kept.etag === null && kept.lastModified === null) return given(kept, "unchecked");
  let file: FetchedFile | null;
  try {
    file = await shared(address, options, kept);
  } catch (error) {
    if (!kept || options.signal?.aborted || /got status 4\d\d$/.test((error as Error).message)) throw error;
    return given(kept, "unchecked"); // the server cannot be reached
  }
  if (file === null) return given(kept!, "checked");
  const got = await hex(file.bytes);
  if (wanted !== null && got !== wanted) fail(`sha256 ${wanted} of ${withoutQuery(address)}`, got);
  if (cache && isWeights(address, file.bytes)) await cache.put(address, { ...file, sha256: got });
  return { bytes: file.bytes, sha256: got, cached: false };
}

const given = ({ bytes, sha256 }: KeptFile, cached: Download["cached"]): Download => ({ bytes, sha256, cached });

/** The kept file, if it is whole, has the requested checksum, and holds weights. */
async function goodKept(cache: DownloadCache | null | undefined, address: string, wanted: string | null): Promise<KeptFile | null> {
  const kept = (await cache?.get(address)) ?? null;
  if (!kept || (wanted ?? kept.sha256) !== kept.sha256 || (await hex(kept.bytes)) !== kept.sha256) return null;
  return isWeights(address, kept.bytes) ? kept : null;
}

function isWeights(address: string, bytes: Uint8Array): boolean {
  try {
    checkWeightFile(address, bytes);
    return true;
  } catch {
    return false;
  }
}

interface Running {
  readonly file: Promise<FetchedFile | null>;
  readonly listeners: Set<NonNullable<FetchOptions["onProgress"]>>;
}
const running = new Map<string, Running>();

/** Simultaneous downloads of one file are shared, except those with a signal, which may be aborted. */
function shared(address: string, options: FetchOptions, known: Version | null): Promise<FetchedFile | null> {
  const { onProgress, signal, timeoutMs } = options;
  if (signal) return fetchFile(address, options, known);
  const key = JSON.stringify([address, known?.etag, known?.lastModified]);
  let download = running.get(key);
  if (!download) {
    const listeners: Running["listeners"] = new Set();
    const tell = (done: number, total: number) => listeners.forEach((listener) => listener(done, total));
    const file = fetchFile(address, { onProgress: tell, timeoutMs }, known).finally(() => running.delete(key));
    download = { file, listeners };
    running.set(key, download);
  }
  if (onProgress) download.listeners.add(onProgress);
  return download.file;
}

function parse(url: string): { address: string; wanted: string | null } {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    return fail("an http or https URL", JSON.stringify(withoutQuery(url).slice(0, 200)));
  }
  if (parsed.username !== "" || parsed.password !== "") fail("a URL without a name and a password in it", "one with them");
  const fragment = parsed.hash.slice(1);
  const wanted = HASH.exec(fragment)?.[1]?.toLowerCase() ?? null;
  if (fragment !== "" && wanted === null)
    fail("nothing behind # but sha256=… with 64 hexadecimal digits", JSON.stringify(fragment.slice(0, 80)));
  parsed.hash = "";
  return { address: parsed.href, wanted };
}

/** SHA-256 by the platform, off the page's main thread. */
async function hex(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const sum = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(sum, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A page's Cache of this name; `null` where there is none (a page that is not served securely). */
export async function pageCache(name = "tessera-weights"): Promise<DownloadCache | null> {
  if (typeof caches === "undefined") return null;
  const cache = await caches.open(name);
  return {
    async get(url) {
      const response = await cache.match(url, { ignoreVary: true });
      const sum = response?.headers.get(CACHED_SUM);
      if (!response || !sum) return null;
      const { headers } = response;
      return {
        bytes: new Uint8Array(await response.arrayBuffer()),
        sha256: sum,
        etag: headers.get("etag"),
        lastModified: headers.get("last-modified"),
      };
    },
    async put(url, { bytes, sha256: sum, etag, lastModified }) {
      const headers = {
        "content-type": "application/octet-stream",
        "content-length": `${bytes.length}`,
        [CACHED_SUM]: sum,
        ...(etag === null ? {} : { etag }),
        ...(lastModified === null ? {} : { "last-modified": lastModified }),
      };
      await cache.put(url, new Response(bytes, { headers }));
    },
  };
}

const CACHED_SUM = "x-tessera-sha256";

/**
 * Files from a URL: streamed with progress, continued where the connection breaks, checked, and kept. Only a whole file is ever handed
 * on or kept: its length must be what the server said, and its SHA-256 what the caller or the cache says.
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";

/** Where downloads are kept: a folder (cli/node/download-folder.ts) or a page's Cache (`pageCache`). What it gives back is checked again. */
export interface DownloadCache {
  get(url: string): Promise<{ readonly bytes: Uint8Array<ArrayBuffer>; readonly sha256: string } | null>;
  put(url: string, bytes: Uint8Array<ArrayBuffer>, sha256: string): Promise<void>;
}

export interface DownloadOptions {
  /** `null` and none: nothing is kept. */
  readonly cache?: DownloadCache | null | undefined;
  /** Bytes so far, and in all (0 where the server does not say). */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface Download {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** In hexadecimal. */
  readonly sha256: string;
  readonly cached: boolean;
}

const TRIES = 4;
const MAX_BYTES = 2 ** 32;
const HASH = /^sha256=([0-9a-f]{64})$/i;

/**
 * The file at `url`. A fragment `#sha256=…` says which checksum it must have. Throws `download: expected …, got …` for any answer but a
 * whole file: an error's status, a body that stays short after some tries, another checksum.
 */
export async function loadUrl(url: string, { cache, onProgress, signal }: DownloadOptions = {}): Promise<Download> {
  const { address, wanted } = parse(url);
  const kept = await cache?.get(address);
  if (kept && (wanted ?? kept.sha256) === kept.sha256 && hex(kept.bytes) === kept.sha256) return { ...kept, cached: true };
  const bytes = await stream(address, onProgress, signal);
  const got = hex(bytes);
  if (wanted !== null && got !== wanted) fail(`sha256 ${wanted} of ${address}`, got);
  await cache?.put(address, bytes, got);
  return { bytes, sha256: got, cached: false };
}

function parse(url: string): { address: string; wanted: string | null } {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    return fail("an http or https URL", JSON.stringify(url.slice(0, 200)));
  }
  const fragment = parsed.hash.slice(1);
  const wanted = HASH.exec(fragment)?.[1]?.toLowerCase() ?? null;
  if (fragment !== "" && wanted === null)
    fail("nothing behind # but sha256=… with 64 hexadecimal digits", JSON.stringify(fragment.slice(0, 80)));
  parsed.hash = "";
  return { address: parsed.href, wanted };
}

const hex = (bytes: Uint8Array): string => bytesToHex(sha256(bytes));

/** What has arrived of a file. */
interface Part {
  bytes: Uint8Array<ArrayBuffer>;
  done: number;
  /** `null` where the server does not say; then the end of the stream is the file's. */
  total: number | null;
  /** The file's version, so that two versions are never put together. */
  etag: string | null;
}

async function stream(
  url: string,
  onProgress: DownloadOptions["onProgress"],
  signal: AbortSignal | undefined,
): Promise<Uint8Array<ArrayBuffer>> {
  const part: Part = { bytes: new Uint8Array(0), done: 0, total: null, etag: null };
  let trouble = "";
  for (let i = 0; i < TRIES; i++) {
    if (i > 0) await new Promise((resolve) => setTimeout(resolve, 100 * 2 ** i));
    const response = await ask(url, part, signal).catch((error: unknown) => {
      if (signal?.aborted) throw error;
      trouble = reason(error);
    });
    if (!response) continue;
    if (response.status >= 500) {
      trouble = `status ${response.status}`;
      continue;
    }
    if (!response.ok || !response.body) fail(`a file at ${url}`, `status ${response.status}`);
    begin(part, response);
    try {
      for await (const chunk of chunksOf(response.body)) {
        append(part, chunk, url);
        onProgress?.(part.done, part.total ?? 0);
      }
    } catch (error) {
      if (signal?.aborted || (error instanceof Error && error.message.startsWith("download: "))) throw error;
      trouble = reason(error);
      if (part.total === null) part.done = 0; // without a length nothing says that a continuation is complete
      continue;
    }
    if (part.total === null || part.done === part.total)
      return part.done === part.bytes.length ? part.bytes : part.bytes.slice(0, part.done);
    trouble = `${part.done} bytes`;
  }
  return fail(`${part.total === null ? "a whole file" : `${part.total} bytes`} of ${url}`, `${trouble} after ${TRIES} tries`);
}

const ask = (url: string, part: Part, signal: AbortSignal | undefined): Promise<Response> => {
  // A weak or missing tag cannot say that it is the same file: from the start, then.
  const more = part.done > 0 && part.etag !== null && !part.etag.startsWith("W/");
  return fetch(url, {
    ...(more ? { headers: { range: `bytes=${part.done}-`, "if-range": part.etag! } } : {}),
    ...(signal ? { signal } : {}),
  });
};

/** Goes on where the part ends if that is what the server sends, else from the start. */
function begin(part: Part, response: Response): void {
  const range = /^bytes (\d+)-\d+\/(\d+)$/.exec(response.headers.get("content-range") ?? "");
  if (response.status === 206) {
    if (!range || Number(range[1]) !== part.done || Number(range[2]) !== part.total)
      fail(`bytes ${part.done} to ${part.total} on request`, response.headers.get("content-range") ?? "none");
    return;
  }
  const length = response.headers.get("content-length");
  // Of a compressed body the length is that of the compressed one.
  part.total = length !== null && /^\d{1,15}$/.test(length) && !response.headers.has("content-encoding") ? Number(length) : null;
  if (part.total !== null && part.total > MAX_BYTES) fail(`at most ${MAX_BYTES} bytes`, `${part.total}`);
  part.etag = response.headers.get("etag");
  part.bytes = new Uint8Array(part.total ?? 0); // pages of it that nothing is written to take no memory
  part.done = 0;
}

function append(part: Part, chunk: Uint8Array, url: string): void {
  const done = part.done + chunk.length;
  if (done > (part.total ?? MAX_BYTES)) fail(`${part.total ?? `at most ${MAX_BYTES}`} bytes of ${url}`, "more");
  if (done > part.bytes.length) {
    // only where the length is not known
    const larger = new Uint8Array(Math.max(2 * part.bytes.length, done));
    larger.set(part.bytes);
    part.bytes = larger;
  }
  part.bytes.set(chunk, part.done);
  part.done = done;
}

async function* chunksOf(body: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = body.getReader(); // streams are no async iterables in every browser
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value;
  } finally {
    reader.releaseLock();
  }
}

/** A failed fetch says why in its cause, if at all. */
function reason(error: unknown): string {
  const { message, cause } = error as { message?: string; cause?: { code?: string; message?: string } };
  return cause?.code ?? cause?.message ?? message ?? String(error);
}

/** A page's Cache of this name; `null` where there is none (a page that is not served securely). */
export async function pageCache(name = "tessera-weights"): Promise<DownloadCache | null> {
  if (typeof caches === "undefined") return null;
  const cache = await caches.open(name);
  return {
    async get(url) {
      const response = await cache.match(url, { ignoreVary: true });
      const sum = response?.headers.get(CACHED_SUM);
      return response && sum ? { bytes: new Uint8Array(await response.arrayBuffer()), sha256: sum } : null;
    },
    async put(url, bytes, sum) {
      await cache.put(
        url,
        new Response(bytes, {
          headers: { "content-type": "application/octet-stream", "content-length": `${bytes.length}`, [CACHED_SUM]: sum },
        }),
      );
    },
  };
}

const CACHED_SUM = "x-tessera-sha256";

function fail(expected: string, got: string): never {
  throw new Error(`download: expected ${expected}, got ${got}`);
}

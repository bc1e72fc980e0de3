/**
 * Downloads a whole file over HTTP: streams with progress, continues after a broken connection, retries after a stall, and checks the
 * length against the server's.
 */

export interface FetchOptions {
  /** Bytes so far, and in total (0 if the server does not say). */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds without a byte after which a try fails; default 30,000. */
  readonly timeoutMs?: number | undefined;
}

/** A file's version as the server gives it (ETag, Last-Modified), for a conditional request later. */
export interface Version {
  readonly etag: string | null;
  readonly lastModified: string | null;
}

export interface FetchedFile extends Version {
  readonly bytes: Uint8Array<ArrayBuffer>;
}

const TRIES = 4;
const TIMEOUT_MS = 30_000;
const MAX_BYTES = 2 ** 32;
/** Limit for a compressed body: a multiple of its compressed length, or bytes if that is not known. Weights hardly compress; a zip bomb does, 1000 to 1. */
const MOST_INFLATION = 20,
  MOST_INFLATED = 2 ** 26;

/** A URL in messages: what follows ? may be a key. */
export const withoutQuery = (url: string): string => url.replace(/[?#].*$/s, "");

/** The part of a file that has arrived. */
interface Part {
  bytes: Uint8Array<ArrayBuffer>;
  done: number;
  /** `null` if the server does not say; the file then ends with the stream. */
  total: number | null;
  /** Most bytes that the body may have. */
  most: number;
  etag: string | null;
  lastModified: string | null;
}

/**
 * The file at `url`; `null` where the server says that it is still `known`. Throws `download: expected …, got …` for an error's status and
 * for a body that stays short after some tries; with `known` one try must do.
 */
export async function fetchFile(url: string, options: FetchOptions = {}, known: Version | null = null): Promise<FetchedFile | null> {
  const { onProgress, signal, timeoutMs = TIMEOUT_MS } = options;
  const part: Part = { bytes: new Uint8Array(0), done: 0, total: null, most: MAX_BYTES, etag: null, lastModified: null };
  let trouble = "";
  for (let i = 0; i < TRIES; i++) {
    if (i > 0) await new Promise((resolve) => setTimeout(resolve, 100 * 2 ** i));
    const watch = watchdog(timeoutMs, signal);
    try {
      const response = await fetch(url, { headers: headersFor(part, known), signal: watch.signal });
      if (response.status >= 500) throw new Error(`status ${response.status}`);
      if (known && isSame(response, known)) {
        await response.body?.cancel();
        return null;
      }
      if (!response.ok || !response.body) fail(`a file at ${withoutQuery(url)}`, `status ${response.status}`);
      begin(part, response);
      for await (const chunk of chunksOf(response.body)) {
        watch.restart();
        append(part, chunk, url);
        onProgress?.(part.done, part.total ?? 0);
      }
      if (part.total === null || part.done === part.total) return whole(part);
      trouble = `${part.done} bytes`;
    } catch (error) {
      if (signal?.aborted || (error instanceof Error && error.message.startsWith("download: "))) throw error;
      trouble = watch.expired() ? `no byte for ${timeoutMs / 1000} s` : reason(error);
      if (part.total === null) part.done = 0; // without a length nothing says that a continuation is complete
      if (known) break;
    } finally {
      watch.stop();
    }
  }
  const what = part.total === null ? "a whole file" : `${part.total} bytes`;
  return fail(`${what} of ${withoutQuery(url)}`, `${trouble} after ${known ? 1 : TRIES} tries`);
}

/** Aborts a try `ms` milliseconds after the last restart of the timer, or when the caller aborts. */
function watchdog(ms: number, outer: AbortSignal | undefined) {
  const controller = new AbortController();
  const abort = () => controller.abort();
  let late = false;
  const begin = () =>
    setTimeout(() => {
      late = true;
      abort();
    }, ms);
  let timer = begin();
  if (outer?.aborted) abort();
  outer?.addEventListener("abort", abort);
  return {
    signal: controller.signal,
    expired: () => late,
    restart() {
      clearTimeout(timer);
      timer = begin();
    },
    stop() {
      clearTimeout(timer);
      outer?.removeEventListener("abort", abort);
    },
  };
}

function headersFor(part: Part, known: Version | null): Record<string, string> {
  const headers: Record<string, string> = { "accept-encoding": "identity" }; // a page cannot set this header
  // A weak or missing ETag does not prove that it is the same file: start from the beginning.
  if (part.done > 0 && part.etag !== null && !part.etag.startsWith("W/")) {
    headers["range"] = `bytes=${part.done}-`;
    headers["if-range"] = part.etag;
  } else if (known?.etag) headers["if-none-match"] = known.etag;
  else if (known?.lastModified) headers["if-modified-since"] = known.lastModified;
  return headers;
}

/** True also if the server ignores the condition and sends the same version again. */
const isSame = ({ status, headers }: Response, { etag, lastModified }: Version): boolean =>
  status === 304 ||
  (status === 200 &&
    (etag !== null ? headers.get("etag") === etag : lastModified !== null && headers.get("last-modified") === lastModified));

/** Continues after `part` if the server sends that range, else starts from the beginning. */
function begin(part: Part, { status, headers }: Response): void {
  const range = /^bytes (\d+)-\d+\/(\d+)$/.exec(headers.get("content-range") ?? "");
  if (status === 206) {
    if (!range || Number(range[1]) !== part.done || Number(range[2]) !== part.total)
      fail(`bytes ${part.done} to ${part.total} on request`, headers.get("content-range") ?? "none");
    return;
  }
  const text = headers.get("content-length");
  const length = text !== null && /^\d{1,15}$/.test(text) ? Number(text) : null;
  const encoded = headers.has("content-encoding");
  part.total = encoded ? null : length; // of a compressed body the length is that of the compressed one
  if (part.total !== null && part.total > MAX_BYTES) fail(`at most ${MAX_BYTES} bytes`, `${part.total}`);
  part.most = part.total ?? (!encoded ? MAX_BYTES : Math.max(MOST_INFLATION * (length ?? 0), MOST_INFLATED));
  part.etag = headers.get("etag");
  part.lastModified = headers.get("last-modified");
  part.bytes = new Uint8Array(part.total ?? 0); // unwritten pages take no memory
  part.done = 0;
}

function append(part: Part, chunk: Uint8Array, url: string): void {
  const done = part.done + chunk.length;
  if (done > part.most) fail(`${part.total ?? `at most ${part.most}`} bytes of ${withoutQuery(url)}`, "more");
  if (done > part.bytes.length) {
    // only where the length is not known
    const larger = new Uint8Array(Math.min(part.most, Math.max(2 * part.bytes.length, done)));
    larger.set(part.bytes);
    part.bytes = larger;
  }
  part.bytes.set(chunk, part.done);
  part.done = done;
}

const whole = ({ bytes, done, etag, lastModified }: Part): FetchedFile => ({
  bytes: done === bytes.length ? bytes : bytes.slice(0, done),
  etag,
  lastModified,
});

async function* chunksOf(body: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = body.getReader(); // streams are no async iterables in every browser
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value;
  } finally {
    reader.cancel().catch(() => undefined); // of a body that is refused before its end
    reader.releaseLock();
  }
}

/** The reason of a failed fetch, which is in its cause, if anywhere. */
function reason(error: unknown): string {
  const { message, cause } = error as { message?: string; cause?: { code?: string; message?: string } };
  return cause?.code ?? cause?.message ?? message ?? String(error);
}

export function fail(expected: string, got: string): never {
  throw new Error(`download: expected ${expected}, got ${got}`);
}

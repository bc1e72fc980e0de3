/** What tests ask of a real page: its decoder, and its download cache. JSON in and out. */
import { decodeImage } from "../../models/images/decode.ts";
import { loadUrl, pageCache } from "../../models/checkpoints/url.ts";

/** [height, width, RGB bytes as base64] of the file at `url`, or what the decoder said. */
export async function decoded(url: string, upright: boolean): Promise<readonly [number, number, string] | { readonly error: string }> {
  const encoded = new Uint8Array(await (await fetch(url)).arrayBuffer());
  try {
    const { height, width, data } = await decodeImage(encoded, { upright });
    return [height, width, btoa(String.fromCharCode(...data))];
  } catch (error) {
    return { error: (error as Error).message };
  }
}

export interface Downloaded {
  readonly length: number;
  readonly sha256: string;
  readonly cached: boolean;
  readonly progress: readonly (readonly [done: number, total: number])[];
}

/** A download through the page's Cache of this name. */
export async function download(url: string, cacheName: string): Promise<Downloaded> {
  const progress: [number, number][] = [];
  const cache = await pageCache(cacheName);
  if (!cache) throw new Error("download: expected a Cache in this page, got none");
  const { bytes, sha256, cached } = await loadUrl(url, { cache, onProgress: (done, total) => void progress.push([done, total]) });
  return { length: bytes.length, sha256, cached: cached !== false, progress };
}

/** Replaces what the Cache keeps of `url` by `text`, with the headers that it had. */
export async function spoil(url: string, cacheName: string, text: string): Promise<void> {
  const cache = await caches.open(cacheName);
  const response = await cache.match(url);
  if (!response) throw new Error(`spoil: expected ${url} in the Cache, got none`);
  await cache.put(url, new Response(text, { headers: response.headers }));
}

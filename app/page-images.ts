/** Files and images for the input pipeline, in a page or a worker of it. */
import { toError, type ErrorData } from "../jobs/errors.ts";
import type { ImagePlatform } from "../train/input/source.ts";
import { decodeImage, encodePng } from "../models/images/decode.ts";

/** `fileUrl` gives the address to read a file of the host from. */
export function pageImages(fileUrl: string): ImagePlatform {
  return {
    async read({ path, offset = 0, length }) {
      const part = `&offset=${offset}${length === undefined ? "" : `&length=${length}`}`;
      const response = await fetch(`${fileUrl}?path=${encodeURIComponent(path)}${part}`);
      if (!response.ok) throw toError((await response.json()) as ErrorData);
      return new Uint8Array(await response.arrayBuffer());
    },
    decode: decodeImage,
    encodePng,
    startWorker() {
      const worker = new Worker(new URL("./image-worker.ts", import.meta.url), { type: "module", name: fileUrl });
      return {
        post: (message, transfer) => worker.postMessage(message, transfer),
        listen(onMessage, onError) {
          worker.onmessage = (event) => onMessage(event.data);
          worker.onerror = (event) => onError(new Error(`input worker: ${event.message || "expected it to load, got an error"}`));
        },
        close: async () => worker.terminate(),
      };
    },
  };
}

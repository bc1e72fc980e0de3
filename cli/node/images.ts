/** Files and images for the input pipeline, in Node. */
import { open, readFile } from "node:fs/promises";
import { Worker } from "node:worker_threads";
import type { FileRange, ImagePlatform } from "../../train/input/source.ts";
import { decodeImage, encodePng } from "./decode-image.ts";

/** Rejects with Node's own error where the file cannot be read. */
export async function readRange({ path, offset = 0, length }: FileRange): Promise<Uint8Array<ArrayBuffer>> {
  if (length === undefined) return Uint8Array.from(await readFile(path)).subarray(offset);
  const file = await open(path);
  try {
    const bytes = new Uint8Array(length);
    let at = 0;
    while (at < length) {
      const { bytesRead } = await file.read(bytes, at, length - at, offset + at);
      if (bytesRead === 0) break;
      at += bytesRead;
    }
    return bytes.subarray(0, at);
  } finally {
    await file.close();
  }
}

export function nodeImages(): ImagePlatform {
  return {
    read: readRange,
    decode: decodeImage,
    encodePng,
    startWorker() {
      const worker = new Worker(new URL("./image-worker.mjs", import.meta.url));
      // A pipeline that nobody closed must not keep a finished command alive; one that is waited for must.
      worker.unref();
      let open = 0;
      let closing = false;
      return {
        post(message, transfer) {
          worker.postMessage(message, transfer);
          if (open++ === 0) worker.ref();
        },
        listen(onMessage, onError) {
          worker.on("message", (message: unknown) => {
            // While it is being ended, nothing else may keep the process alive.
            if (--open === 0 && !closing) worker.unref();
            onMessage(message);
          });
          worker.on("error", (error: Error) => onError(new Error(`input worker: ${error.message}`)));
          worker.on("exit", (code) => closing || onError(new Error(`input worker: expected it to go on, got exit ${code}`)));
          worker.unref(); // a listener takes the reference back
        },
        async close() {
          closing = true;
          await worker.terminate();
        },
      };
    },
  };
}

/** Files and images for the input pipeline, in Node. */
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { Worker } from "node:worker_threads";
import type { FileRange, ImagePlatform } from "../../train/input/source.ts";
import { IN_REPOSITORY } from "../place.ts";
import { decodeImage, encodePng } from "./decode-image.ts";

/** Bytes of one read: Node reads no more than 2 GiB at once. */
const READ_BYTES = 1 << 30;

/**
 * Bytes of a regular file, fewer where it ends before. Rejects with the reason if the file cannot be read; a pipe or a device is refused
 * without waiting for it.
 */
export async function readRange({ path, offset = 0, length = Infinity }: FileRange): Promise<Uint8Array<ArrayBuffer>> {
  // Without O_NONBLOCK, opening a pipe waits for its writer.
  const file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)).catch((error: NodeJS.ErrnoException) => {
    throw new Error(`expected a file that can be read, got ${error.code ?? error.message}`);
  });
  try {
    const stats = await file.stat();
    if (!stats.isFile()) throw new Error(`expected a file, got ${stats.isDirectory() ? "a folder" : "a pipe or device"}`);
    const bytes = new Uint8Array(Math.max(0, Math.min(length, stats.size - offset)));
    let at = 0;
    while (at < bytes.length) {
      const { bytesRead } = await file.read(bytes, at, Math.min(READ_BYTES, bytes.length - at), offset + at);
      if (bytesRead === 0) break; // it became shorter meanwhile
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
      const worker = new Worker(new URL(IN_REPOSITORY ? "./image-worker.mjs" : "./image-worker.js", import.meta.url));
      // An idle pipeline must not keep a finished command alive; one with a pending request must.
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
            // Keeps the process alive until the thread has ended.
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

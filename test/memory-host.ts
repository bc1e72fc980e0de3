/** A host for jobs under test: files in memory, and nobody told of progress. */
import { UsageError } from "../jobs/errors.ts";
import type { Host } from "../jobs/host.ts";

export interface MemoryHost extends Host {
  readonly files: Map<string, Uint8Array>;
}

export function memoryHost(files: Readonly<Record<string, Uint8Array>> = {}): MemoryHost {
  const kept = new Map(Object.entries(files));
  const readFile = (path: string): Promise<Uint8Array<ArrayBuffer>> => {
    const bytes = kept.get(path);
    return bytes ? Promise.resolve(Uint8Array.from(bytes)) : Promise.reject(new UsageError(`expected a file at "${path}", got none`));
  };
  const none = (): never => {
    throw new Error("memoryHost: expected sets of images in memory, got files to decode");
  };
  return {
    files: kept,
    readFile,
    images: {
      read: async ({ path, offset = 0, length }) =>
        (await readFile(path)).subarray(offset, length === undefined ? undefined : offset + length),
      decode: none,
      encodePng: none,
      startWorker: none,
    },
    writeFile: (path, bytes) => Promise.resolve(void kept.set(path, bytes)),
    appendFile: (path, bytes) => Promise.resolve(void kept.set(path, Uint8Array.of(...(kept.get(path) ?? []), ...bytes))),
    exists: (path) => Promise.resolve(kept.has(path)),
    stopAsked: () => false,
    log: () => undefined,
    progress: () => undefined,
  };
}

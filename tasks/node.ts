/** What the library has for Node alone. */
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Store } from "./api.ts";
import { reasonOf, StoreError } from "./errors.ts";

export { initNodeDevice, nodeGPU } from "../engine/node.ts";

/** The file at this path. It is replaced whole or not at all. */
export function folder(path: string): Store {
  return {
    get: () => readFile(path).then((file) => new Uint8Array(file), missing),
    async set(bytes) {
      const beside = join(dirname(path), `.${basename(path)}.${process.pid}`);
      try {
        await mkdir(dirname(path), { recursive: true });
        await writeFile(beside, bytes);
        await rename(beside, path);
      } catch (error) {
        await rm(beside, { force: true }).catch(() => undefined);
        throw new StoreError(`folder: expected room for ${bytes.length} bytes in ${path}, got ${reasonOf(error)}`, bytes);
      }
    },
    delete: () => rm(path, { force: true }),
  };
}

function missing(error: unknown): null {
  if ((error as { code?: string }).code === "ENOENT") return null;
  throw new StoreError(`folder: ${reasonOf(error)}`);
}

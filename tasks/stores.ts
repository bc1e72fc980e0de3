/** Stores for one file between visits: the browser's private file system, or IndexedDB. In Node: `folder` of tasks/node.ts. */
import type { Store } from "./api.ts";
import { reasonOf, StoreError } from "./errors.ts";

/**
 * A file of this name in the origin's private file system. It is replaced whole or not at all.
 *
 * @example
 * ```ts
 * const kept = await opfs("mine").get();
 * if (kept) console.log(`${kept.length} bytes`);
 * ```
 */
export function opfs(name: string): Store {
  const folder = async (): Promise<FileSystemDirectoryHandle> => {
    if (!globalThis.navigator?.storage?.getDirectory)
      throw new StoreError("opfs: expected a page that is served securely in a browser with a file system, got none: use indexedDb");
    return navigator.storage.getDirectory();
  };
  return {
    async get() {
      const file = await orNull(async () => (await (await folder()).getFileHandle(name)).getFile());
      return file && file.size > 0 ? new Uint8Array(await file.arrayBuffer()) : null;
    },
    async set(bytes) {
      const handle = await (await folder()).getFileHandle(name, { create: true });
      const writer = await handle.createWritable(); // writes a copy, which takes the file's place when it is closed
      try {
        await writer.write(bytes as Uint8Array<ArrayBuffer>);
        await writer.close();
      } catch (error) {
        await writer.abort().catch(() => undefined);
        throw new StoreError(`opfs: expected room for ${bytes.length} bytes in "${name}", got ${reasonOf(error)}`, bytes);
      }
    },
    async delete() {
      await orNull(async () => (await folder()).removeEntry(name));
    },
  };
}

async function orNull<T>(work: () => Promise<T>): Promise<T | null> {
  try {
    return await work();
  } catch (error) {
    if ((error as { name?: string }).name === "NotFoundError") return null;
    throw error;
  }
}

const DATABASE = "tessera-gpu";
const FILES = "files";

/** A record of this name in IndexedDB, for browsers whose file system cannot be written. */
export function indexedDb(name: string): Store {
  const run = async <T>(mode: IDBTransactionMode, work: (files: IDBObjectStore) => IDBRequest<T>): Promise<T> => {
    const database = await settled(opened());
    try {
      const transaction = database.transaction(FILES, mode);
      const done = new Promise<void>((resolve, reject) => {
        transaction.oncomplete = () => resolve();
        transaction.onabort = () => reject(transaction.error);
      });
      const [value] = await Promise.all([settled(work(transaction.objectStore(FILES))), done]);
      return value;
    } finally {
      database.close();
    }
  };
  return {
    get: async () => (await run<Uint8Array | undefined>("readonly", (files) => files.get(name))) ?? null,
    async set(bytes) {
      try {
        await run("readwrite", (files) => files.put(bytes, name));
      } catch (error) {
        throw new StoreError(`indexedDb: expected room for ${bytes.length} bytes in "${name}", got ${reasonOf(error)}`, bytes);
      }
    },
    delete: async () => void (await run("readwrite", (files) => files.delete(name))),
  };
}

function opened(): IDBOpenDBRequest {
  const request = indexedDB.open(DATABASE, 1);
  request.onupgradeneeded = () => request.result.createObjectStore(FILES);
  return request;
}

const settled = <T>(request: IDBRequest<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

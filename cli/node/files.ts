/** Files read and written whole. */
import { constants as bufferLimits } from "node:buffer";
import { randomBytes } from "node:crypto";
import { closeSync, constants, openSync, readSync } from "node:fs";
import { type FileHandle, mkdir, open, rename, rm, rmdir, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import type { FileBytes } from "../../models/checkpoints/file-bytes.ts";
import { UsageError } from "../../jobs/errors.ts";

// Bytes per read: Node's readFile stops at 2 GiB, and holds a large file twice for a moment.
const READ_BYTES = 1 << 26;

// Most bytes read from a pipe; weights and images are smaller.
const PIPE_BYTES = 2 ** 32;

/**
 * A file's bytes, in memory once. A pipe is read to its end; one that gives no byte for `pipeTimeoutMs` is an error, since it may have
 * no writer.
 */
export async function readWhole(path: string, pipeTimeoutMs = 30_000): Promise<Uint8Array<ArrayBuffer>> {
  // Without O_NONBLOCK the opening of a pipe waits for its writer.
  const file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  try {
    const stats = await file.stat();
    if (stats.isDirectory()) throw Object.assign(new Error(`expected a file, got the folder ${path}`), { code: "EISDIR" });
    if (!stats.isFile()) return await readPipe(file, pipeTimeoutMs);
    if (stats.size > bufferLimits.MAX_LENGTH) {
      const code = `${stats.size} bytes, more than the ${bufferLimits.MAX_LENGTH} of Node ${process.versions.node}'s arrays (save it in several files with an index)`;
      throw Object.assign(new Error("too long"), { code });
    }
    const bytes = new Uint8Array(stats.size);
    let at = 0;
    while (at < bytes.length) {
      const { bytesRead } = await file.read(bytes, at, Math.min(READ_BYTES, bytes.length - at), at);
      if (bytesRead === 0) break; // it became shorter meanwhile
      at += bytesRead;
    }
    return at === bytes.length ? bytes : bytes.slice(0, at);
  } finally {
    await file.close();
  }
}

/** From here on a file is read in parts: an array of Node 20 has at most 4 GiB. */
const LARGE = 2 ** 31;

/** A file of LARGE bytes or more, read when its bytes are asked for; `null` for any other, or where there is none. */
export async function openLarge(path: string): Promise<FileBytes | null> {
  const stats = await stat(path).catch(() => null);
  if (!stats?.isFile() || stats.size < LARGE) return null;
  const { size } = stats;
  return { length: size, subarray: (begin, end) => readPart(path, begin, Math.min(end, size)) };
}

function readPart(path: string, begin: number, end: number): Uint8Array {
  const bytes = new Uint8Array(Math.max(0, end - begin));
  const file = openSync(path, "r");
  try {
    for (let at = 0; at < bytes.length; ) {
      const got = readSync(file, bytes, at, Math.min(READ_BYTES, bytes.length - at), begin + at);
      if (got === 0) throw new Error(`weights: expected ${end} bytes in "${path}", got ${begin + at}: it became shorter`);
      at += got;
    }
  } finally {
    closeSync(file);
  }
  return bytes;
}

async function readPipe(file: FileHandle, timeoutMs: number): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  const buffer = new Uint8Array(1 << 16);
  let size = 0;
  let lastMs = performance.now();
  for (;;) {
    // -1: no byte yet. 0 is the end, or, before the first byte, no writer yet.
    const got = await file.read(buffer, 0, buffer.length).then(
      ({ bytesRead }) => bytesRead,
      (error: NodeJS.ErrnoException) => (error.code === "EAGAIN" ? -1 : Promise.reject(error)),
    );
    if (got > 0) {
      chunks.push(buffer.slice(0, got));
      size += got;
      lastMs = performance.now();
      if (size > PIPE_BYTES) throw Object.assign(new Error("too long"), { code: `more than ${PIPE_BYTES} bytes` });
    } else if (got === 0 && size > 0) {
      return new Uint8Array(Buffer.concat(chunks));
    } else if (performance.now() - lastMs > timeoutMs) {
      throw Object.assign(new Error("no byte"), { code: `a pipe without a byte for ${timeoutMs / 1000} s` });
    } else await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const code = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? String(error);

/** Makes a folder and its parents; resolves to the folders that it made. Node's own recursive mkdir never ends where /proc is above. */
export async function makeFolder(path: string): Promise<string[]> {
  const made = await mkdir(path).then(
    () => true,
    async (error: unknown) => {
      if (code(error) === "EEXIST") {
        if ((await stat(path)).isDirectory()) return false;
        throw Object.assign(new Error(`expected a folder, got the file "${path}"`), { code: "ENOTDIR" });
      }
      if (code(error) !== "ENOENT" || dirname(path) === path) throw error;
      return null;
    },
  );
  if (made !== null) return made ? [path] : [];
  const above = await makeFolder(dirname(path));
  await mkdir(path);
  return [...above, path];
}

/**
 * A reader of `path` sees the old content or the new, whole. Makes the folder if it is missing. Devices and pipes are written as they are.
 * Parts are asked for one after the other, so that a large file need not be in memory.
 */
export async function writeAtomic(path: string, bytes: Uint8Array | Iterable<Uint8Array>): Promise<void> {
  const there = await stat(path).catch(() => null);
  if (there && !there.isFile() && !there.isDirectory()) return writeFile(path, bytes);
  const folder = dirname(path);
  await makeFolder(resolve(folder));
  // In the same folder, so that the rename stays within one file system.
  const temporary = join(folder, `.${basename(path)}.${randomBytes(6).toString("hex")}`);
  try {
    const file = await open(temporary, "wx");
    try {
      await writeFile(file, bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined); // where that fails too, the first error says why
    throw error;
  }
}

/**
 * Throws if a path cannot be written, before work that would be lost. `option` names the path in the error, `kind` is the expected kind.
 * Leaves nothing behind.
 */
export async function expectWritable(option: string, path: string, kind: "file" | "folder"): Promise<void> {
  if (path === "") throw new UsageError(`expected a ${kind} for ${option}, got ""`);
  const there = await stat(path).catch(() => null);
  if (there && !there.isFile() && !there.isDirectory()) return; // a device or a pipe
  if (there && there.isDirectory() !== (kind === "folder"))
    throw new UsageError(`expected a ${kind} for ${option}, got the ${kind === "folder" ? "file" : "folder"} "${path}"`);
  const folder = resolve(kind === "folder" ? path : dirname(path));
  let made: string[] = [];
  try {
    made = await makeFolder(folder);
    const probe = join(folder, `.tessera-${randomBytes(6).toString("hex")}`);
    await writeFile(probe, "?", { flag: "wx" });
    await rm(probe);
  } catch (error) {
    throw new UsageError(`expected a ${kind} that can be written for ${option}, got ${code(error)} at "${path}"`);
  } finally {
    for (const own of made.reverse()) await rmdir(own);
  }
}

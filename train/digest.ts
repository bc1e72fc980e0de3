/** SHA-256 of a run's inputs and of its checkpoints, so that a resume can detect a change. */
import type { State } from "../models/params.ts";
import { inMemory, type ImagePlatform, type ImageSource } from "./input/source.ts";

/** Number of images in a set of files whose first bytes are hashed; the others count by name, place and label. */
const SAMPLES = 64;
const SAMPLE_BYTES = 4096;

/** Images, or names of images, per hashed part. */
const PART = 4096;

/** In hex: SHA-256 of the parts' own SHA-256. Parts are hashed one after another, off this thread. */
export async function digest(parts: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<string> {
  const sums: Uint8Array[] = [];
  for await (const part of parts) sums.push(await sha256(part));
  const all = new Uint8Array(32 * sums.length);
  sums.forEach((sum, i) => all.set(sum, 32 * i));
  return [...(await sha256(all))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

const sha256 = async (bytes: Uint8Array): Promise<Uint8Array> =>
  new Uint8Array(await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>));

const text = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

/** Digest of names, shapes and values, independent of their order; `head` is included. */
export function digestState(state: State, head: unknown = null): Promise<string> {
  function* parts(): Generator<Uint8Array> {
    yield text(head);
    for (const name of [...state.keys()].sort()) {
      const { shape, data } = state.get(name)!;
      yield text([name, shape]);
      yield new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    }
  }
  return digest(parts());
}

/**
 * Digest of a set of images: classes, labels, and the bytes of images in memory. Of files: their names below their common folder, their
 * places in archives, and the first bytes of some of them, evenly spread. So a folder may be moved, not changed.
 */
export function digestImages(source: ImageSource, platform: Pick<ImagePlatform, "read">): Promise<string> {
  const { count, classes } = source;
  const file = (i: number) => {
    const at = source.at(i);
    return inMemory(at) ? null : at;
  };
  const root = commonFolder(count === 0 ? [] : [0, count >> 1, count - 1].map((i) => file(i)?.path ?? ""));
  async function* parts(): AsyncGenerator<Uint8Array> {
    yield text([count, classes]);
    for (let from = 0; from < count; from += PART) {
      const rows = Array.from({ length: Math.min(PART, count - from) }, (_, k) => {
        const at = file(from + k);
        return [source.label(from + k), at && [at.path.slice(root.length), at.offset, at.length]];
      });
      yield text(rows);
    }
    for (let from = 0; from < count; from += PART) {
      const indices = Array.from({ length: Math.min(PART, count - from) }, (_, k) => from + k);
      yield joined(indices.map((i) => source.at(i)).flatMap((at) => (inMemory(at) ? [at.data] : [])));
    }
    for (let i = 0; i < count; i += Math.ceil(count / SAMPLES)) {
      const at = file(i);
      // The input pipeline reports a file that cannot be read.
      if (at) yield await platform.read({ ...at, length: Math.min(at.length ?? SAMPLE_BYTES, SAMPLE_BYTES) }).catch(() => new Uint8Array());
    }
  }
  return digest(parts());
}

/** The longest beginning of all paths that ends in a slash. */
function commonFolder(paths: readonly string[]): string {
  const [first = "", ...others] = paths;
  let root = first.slice(0, first.lastIndexOf("/") + 1);
  while (root !== "" && !others.every((path) => path.startsWith(root))) root = root.slice(0, root.lastIndexOf("/", root.length - 2) + 1);
  return root;
}

function joined(arrays: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(arrays.reduce((n, a) => n + a.length, 0));
  let at = 0;
  for (const a of arrays) {
    all.set(a, at);
    at += a.length;
  }
  return all;
}

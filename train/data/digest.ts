/** A checksum by which a run knows that a data set is still the one it began with. */
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { inMemory, type FileRange, type ImageSource } from "../input/source.ts";

/** Files whose first bytes are read; reading every file of a large set would take minutes. */
const FILES_READ = 256;
/** Bytes of a file, and of an image in memory, that count. */
const FILE_BYTES = 4096;
const IMAGE_BYTES = 64;

/**
 * SHA-256, in hex, of a set's count, classes and shape, of every image's name and label, and of the first bytes of images: of each one in
 * memory, of up to 256 files evenly over the set. Names count from the folder that all images share, so a set may be moved.
 * `read` gives the bytes of a file; a file that cannot be read counts as empty.
 */
export async function dataDigest(set: ImageSource, read: (from: FileRange) => Promise<Uint8Array>): Promise<string> {
  const hash = sha256.create();
  const text = new TextEncoder();
  const add = (value: unknown): void => void hash.update(text.encode(`${JSON.stringify(value)}\n`));
  add({ count: set.count, classes: set.classes, shape: set.shape });
  const shared = sharedFolder(set);
  for (let i = 0; i < set.count; i++) {
    add([set.name(i).slice(shared), set.label(i)]);
    const at = set.at(i);
    if (inMemory(at)) hash.update(at.data.subarray(0, IMAGE_BYTES));
  }
  const files = Math.min(set.count, FILES_READ);
  for (let k = 0; k < files; k++) {
    const at = set.at(Math.floor((k * set.count) / files));
    if (inMemory(at)) continue;
    const length = Math.min(at.length ?? FILE_BYTES, FILE_BYTES);
    const bytes = await read({ path: at.path, offset: at.offset ?? 0, length }).catch(() => new Uint8Array(0));
    add(bytes.length);
    hash.update(bytes);
  }
  return bytesToHex(hash.digest());
}

/** Length of the folder's path that all names begin with, its last separator included. */
function sharedFolder({ count, name }: ImageSource): number {
  if (count === 0) return 0;
  let shared = name(0);
  for (let i = 1; i < count && shared.length > 0; i++) {
    const other = name(i);
    let n = 0;
    while (n < shared.length && n < other.length && shared[n] === other[n]) n++;
    shared = shared.slice(0, n);
  }
  return Math.max(shared.lastIndexOf("/"), shared.lastIndexOf("\\")) + 1;
}

/** Shared by reading and writing zip files. https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT */
import type { FileBytes } from "./file-bytes.ts";

export const LOCAL = 0x04034b50,
  CENTRAL = 0x02014b50,
  END = 0x06054b50,
  END64 = 0x06064b50,
  LOCATOR64 = 0x07064b50;
export const LOCAL_BYTES = 30,
  CENTRAL_BYTES = 46,
  END_BYTES = 22,
  END64_BYTES = 56,
  LOCATOR64_BYTES = 20;

export function fail(expected: string, got: string): never {
  throw new Error(`zip: expected ${expected}, got ${got}`);
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
  return c;
});

/** Bytes of a file that are read at once. */
const PART = 2 ** 26;

export function crc32(bytes: FileBytes): number {
  let c = -1;
  for (let at = 0; at < bytes.length; at += PART) {
    const part = bytes.subarray(at, Math.min(at + PART, bytes.length));
    for (let i = 0; i < part.length; i++) c = CRC_TABLE[(c ^ part[i]!) & 255]! ^ (c >>> 8);
  }
  return (c ^ -1) >>> 0;
}

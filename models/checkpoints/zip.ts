/**
 * Zip files of stored entries, as PyTorch writes them. Reading trusts nothing and inflates nothing: entries are parts of the file, so a
 * file costs no more memory than it has bytes, and an inconsistent one throws one line.
 *
 * https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
 */
import { quote } from "../shown.ts";
import { type FileBytes, partOf, viewOf } from "./file-bytes.ts";
import {
  CENTRAL,
  CENTRAL_BYTES,
  crc32,
  END,
  END64,
  END64_BYTES,
  END_BYTES,
  fail,
  LOCAL,
  LOCAL_BYTES,
  LOCATOR64,
  LOCATOR64_BYTES,
} from "./zip-format.ts";

const MAX_COMMENT = 0xffff;
const EXTRA64 = 1;
const ENCRYPTED = 1;

export const isZip = (bytes: FileBytes): boolean => bytes.length >= 4 && viewOf(bytes, 0, 4).getUint32(0, true) === LOCAL;

interface Entry {
  readonly name: string;
  readonly crc: number;
  readonly size: number;
  readonly unpacked: number;
  readonly method: number;
  readonly encrypted: boolean;
  readonly header: number;
}

/** The names of an archive's entries, however they are stored. */
export const zipNames = (bytes: FileBytes): string[] => readDirectory(bytes, findDirectory(bytes)).map(({ name }) => name);

/** Each entry's bytes by name, in the directory's order, as parts of `bytes`: views of an array. Checksums are verified. */
export function readZip(bytes: Uint8Array): Map<string, Uint8Array>;
export function readZip(bytes: FileBytes): Map<string, FileBytes>;
export function readZip(bytes: FileBytes): Map<string, FileBytes> {
  const directory = findDirectory(bytes);
  const entries = readDirectory(bytes, directory);
  const files = new Map<string, FileBytes>();
  for (const entry of entries) {
    checkStored(entry);
    if (files.has(entry.name)) fail("every name once", `${quote(entry.name)} twice`);
    files.set(entry.name, partOf(bytes, 0, 0)); // in this order; filled below
  }
  let free = 0;
  for (const entry of entries.toSorted((a, b) => a.header - b.header)) {
    const what = quote(entry.name);
    if (entry.header < free) fail(`${what} to start at byte ${free} or later, where the entry before it ends`, `${entry.header}`);
    const data = dataStart(bytes, entry, directory.start);
    free = data + entry.size;
    if (free > directory.start) fail(`${what} to end before the directory at byte ${directory.start}`, `${free}`);
    const contents = partOf(bytes, data, free);
    const crc = crc32(contents);
    if (crc !== entry.crc) fail(`checksum ${hex(entry.crc)} of ${what}`, `${hex(crc)}, a damaged file`);
    files.set(entry.name, contents);
  }
  return files;
}

function checkStored({ name, method, encrypted, size, unpacked }: Entry): void {
  if (method !== 0) fail(`${quote(name)} stored without compression`, `method ${method}`);
  if (encrypted) fail(`${quote(name)} in clear`, "an encrypted entry");
  if (unpacked !== size) fail(`${quote(name)} stored in its own size of ${unpacked} bytes`, `${size}`);
}

interface Directory {
  readonly start: number;
  readonly size: number;
  readonly count: number;
}

/** The directory's place, from the record at the file's end. */
function findDirectory(bytes: FileBytes): Directory {
  const { length } = bytes;
  // The record, the longest comment behind it, and the 64-bit record's locator before it.
  const from = Math.max(0, length - LOCATOR64_BYTES - END_BYTES - MAX_COMMENT);
  const tail = viewOf(bytes, from, length);
  let end = -1;
  for (let at = tail.byteLength - END_BYTES; at >= Math.max(0, tail.byteLength - END_BYTES - MAX_COMMENT); at--) {
    if (tail.getUint32(at, true) === END && tail.getUint16(at + 20, true) === tail.byteLength - at - END_BYTES) {
      end = at;
      break;
    }
  }
  if (end === -1) fail("an end record at the file's end", `none in ${length} bytes, a truncated file or no zip file`);
  if (tail.getUint16(end + 4, true) !== 0 || tail.getUint16(end + 6, true) !== 0) fail("a zip file in one part", "a part of several");
  let directory = { start: tail.getUint32(end + 16, true), size: tail.getUint32(end + 12, true), count: tail.getUint16(end + 10, true) };
  let limit = from + end;
  const locator = end - LOCATOR64_BYTES;
  if (locator >= 0 && tail.getUint32(locator, true) === LOCATOR64) {
    limit = number64(tail, locator + 8, length, "the end record's place");
    const record = limit + END64_BYTES > from + locator ? null : viewOf(bytes, limit, limit + END64_BYTES);
    if (record?.getUint32(0, true) !== END64) return fail("a 64-bit end record before its locator", `none at byte ${limit}`);
    directory = {
      start: number64(record, 48, length, "the directory's start"),
      size: number64(record, 40, length, "the directory's size"),
      count: number64(record, 32, length, "the number of entries"),
    };
  }
  const { start, size, count } = directory;
  if (start + size !== limit) fail(`a directory that ends at byte ${limit}, where the end record starts`, `${size} bytes from ${start}`);
  if (count * CENTRAL_BYTES > size) fail(`at most ${Math.floor(size / CENTRAL_BYTES)} entries in a directory of ${size} bytes`, `${count}`);
  return directory;
}

function readDirectory(bytes: FileBytes, { start, size, count }: Directory): Entry[] {
  const records = bytes.subarray(start, start + size);
  const view = viewOf(records);
  const end = size;
  const entries: Entry[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + CENTRAL_BYTES > end || view.getUint32(at, true) !== CENTRAL) fail(`entry ${i} of ${count} at byte ${start + at}`, "none");
    const nameEnd = at + CENTRAL_BYTES + view.getUint16(at + 28, true);
    const extraEnd = nameEnd + view.getUint16(at + 30, true);
    const next = extraEnd + view.getUint16(at + 32, true);
    if (next > end) fail(`entry ${i} of ${count} to end by byte ${start + end}`, `${start + next}`);
    const name = text(records.subarray(at + CENTRAL_BYTES, nameEnd));
    const sizes = new DataView(view.buffer, view.byteOffset + nameEnd, extraEnd - nameEnd);
    // Fields of all ones stand in the 64-bit extra field instead, in this order.
    const wide = extra64(sizes);
    let used = 0;
    const field = (offset: number, what: string): number => {
      const value = view.getUint32(at + offset, true);
      if (value !== 0xffffffff) return value;
      if (used + 8 > wide.byteLength) return fail(`a 64-bit ${what} of ${quote(name)}`, "none");
      used += 8;
      return number64(wide, used - 8, bytes.length, `the ${what} of ${quote(name)}`);
    };
    const unpacked = field(24, "size"),
      packed = field(20, "stored size"),
      header = field(42, "place");
    const method = view.getUint16(at + 10, true),
      encrypted = (view.getUint16(at + 8, true) & ENCRYPTED) !== 0;
    entries.push({ name, crc: view.getUint32(at + 16, true), size: packed, unpacked, method, encrypted, header });
    at = next;
  }
  if (at !== end) fail(`the directory to end at byte ${start + end}`, `${start + at} after ${count} entries`);
  return entries;
}

/** Offset of an entry's data, after its local header. */
function dataStart(bytes: FileBytes, { name, header }: Entry, limit: number): number {
  const local = header + LOCAL_BYTES > limit ? null : viewOf(bytes, header, header + LOCAL_BYTES);
  if (local?.getUint32(0, true) !== LOCAL) return fail(`${quote(name)} at byte ${header}`, "no entry there");
  const nameEnd = header + LOCAL_BYTES + local.getUint16(26, true);
  const data = nameEnd + local.getUint16(28, true);
  if (data > limit) fail(`${quote(name)} to start before the directory at byte ${limit}`, `${data}`);
  const own = text(bytes.subarray(header + LOCAL_BYTES, nameEnd));
  if (own !== name) fail(`${quote(name)} at byte ${header}`, quote(own));
  if (local.getUint16(8, true) !== 0) fail(`${quote(name)} stored without compression`, `method ${local.getUint16(8, true)}`);
  return data;
}

function extra64(extra: DataView): DataView {
  for (let at = 0; at + 4 <= extra.byteLength; ) {
    const size = extra.getUint16(at + 2, true);
    if (at + 4 + size > extra.byteLength) break;
    if (extra.getUint16(at, true) === EXTRA64) return new DataView(extra.buffer, extra.byteOffset + at + 4, size);
    at += 4 + size;
  }
  return new DataView(new ArrayBuffer(0));
}

function number64(view: DataView, at: number, most: number, what: string): number {
  const value = view.getBigUint64(at, true);
  if (value > BigInt(most)) fail(`${what} to be at most ${most}`, `${value}`);
  return Number(value);
}

function text(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return fail("names in UTF-8", "other bytes");
  }
}

const hex = (value: number): string => value.toString(16).padStart(8, "0");

/**
 * Lists the regular files of a tar archive as GNU tar and Python's tarfile do: V7, ustar, GNU (long names, sizes in base 256) and pax. An archive
 * may end without its zero blocks, and without the last file's padding.
 * https://www.gnu.org/software/tar/manual/html_node/Standard.html, https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html
 */
import type { FileRange } from "../input/source.ts";

export type Read = (from: FileRange) => Promise<Uint8Array>;
type Window = (offset: number, length: number) => Promise<Uint8Array>;

export interface Member {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
}

const BLOCK = 512;
/** Bytes read with a header, so that small files need no separate read. */
const WINDOW = 1 << 16;
/** Bytes of a pax header or a long name. */
const MOST_HEADER = 1 << 20;

/** Types whose header is followed by no data, whatever its size field says. */
const WITHOUT_DATA = new Set(["1", "2", "3", "4", "5", "6"]);
const REGULAR = new Set(["0", "\0", "7"]);

/** In the archive's order; a hard link counts as the file it names. Throws for a broken archive, naming `path` and the byte. */
export async function* members(path: string, window: Window): AsyncGenerator<Member> {
  const files = new Map<string, Member>();
  const globals = new Map<string, string>();
  let next = new Map<string, string>();
  for (let at = 0; ; ) {
    const header = await window(at, BLOCK);
    if (header.length === 0 || (header.length === BLOCK && header.every((b) => b === 0))) return;
    if (header.length < BLOCK) throw new Error(`tar: expected a header of ${BLOCK} bytes at byte ${at} of ${path}, got ${header.length}`);
    checkSum(header, at, path);
    const type = String.fromCharCode(header[156]!);
    const offset = at + BLOCK;
    const about = (key: string): string | undefined => next.get(key) ?? globals.get(key);
    const extended = "LKxgX".includes(type);
    const size = (extended ? undefined : sizeIn(about("size"), at, path)) ?? numberAt(header, 124, 12, at, path);
    const stored = WITHOUT_DATA.has(type) ? 0 : size;
    if (stored > 0 && !Number.isSafeInteger(offset + stored))
      throw new Error(`tar: expected a size below 2^53 at byte ${at} of ${path}, got ${stored}`);
    if (stored > 0 && (await window(offset + stored - 1, 1)).length < 1)
      throw new Error(`tar: expected ${stored} bytes from byte ${offset} of ${path}, got a file that ends before`);
    if (extended) {
      if (size > MOST_HEADER)
        throw new Error(`tar: expected at most ${MOST_HEADER} bytes of names at byte ${offset} of ${path}, got ${size}`);
      const content = await window(offset, size);
      if (type === "L" || type === "K") next.set(type === "L" ? "path" : "linkpath", text(content));
      else for (const [key, value] of records(content, offset, path)) (type === "g" ? globals : next).set(key, value);
    } else {
      const name = about("path") ?? nameIn(header);
      if (type === "S" || [...next.keys(), ...globals.keys()].some((key) => key.startsWith("GNU.sparse.")))
        throw new Error(
          `tar: expected files stored whole in ${path}, got ${about("GNU.sparse.name") ?? name} as a sparse file at byte ${at}`,
        );
      const target = type === "1" ? files.get(about("linkpath") ?? text(header.subarray(157, 257))) : undefined;
      const member = target ? { ...target, name } : { name, offset, size };
      if ((REGULAR.has(type) && !(type === "\0" && name.endsWith("/"))) || target) {
        files.set(name, member);
        yield member;
      }
      next = new Map();
    }
    at = offset + Math.ceil(stored / BLOCK) * BLOCK;
  }
}

/** ustar's prefix belongs to the name; GNU's older headers keep times in its place. */
function nameIn(header: Uint8Array): string {
  const prefix = text(header.subarray(257, 263)) === "ustar" && header[262] === 0 ? text(header.subarray(345, 500)) : "";
  const short = text(header.subarray(0, 100));
  return prefix ? `${prefix}/${short}` : short;
}

/** pax records, "LENGTH KEY=VALUE\n"; the length counts bytes, itself included. */
function* records(content: Uint8Array, offset: number, path: string): Generator<readonly [string, string]> {
  for (let at = 0; at < content.length && content[at] !== 0; ) {
    const space = content.indexOf(0x20, at);
    const digits = space < 0 ? "" : text(content.subarray(at, space));
    const end = at + Number(digits);
    const equals = content.indexOf(0x3d, space);
    if (!/^\d+$/.test(digits) || end > content.length || equals < 0 || equals >= end || content[end - 1] !== 0x0a)
      throw new Error(
        `tar: expected a pax record at byte ${offset + at} of ${path}, got ${JSON.stringify(text(content.subarray(at, at + 20)))}`,
      );
    const decode = (from: number, to: number): string => new TextDecoder().decode(content.subarray(from, to));
    yield [decode(space + 1, equals), decode(equals + 1, end - 1)];
    at = end;
  }
}

function sizeIn(value: string | undefined, at: number, path: string): number | undefined {
  if (value !== undefined && !(/^\d+$/.test(value) && Number.isSafeInteger(Number(value))))
    throw new Error(`tar: expected a pax size as an integer for the header at byte ${at} of ${path}, got ${JSON.stringify(value)}`);
  return value === undefined ? undefined : Number(value);
}

/** Octal digits, or big-endian base 256 behind a first byte of 0x80. */
function numberAt(header: Uint8Array, from: number, length: number, at: number, path: string): number {
  const field = header.subarray(from, from + length);
  if (field[0] === 0x80) {
    const value = field.subarray(1).reduce((n, b) => n * 256 + b, 0);
    if (Number.isSafeInteger(value)) return value;
  }
  const digits = text(field).trim();
  if (!/^[0-7]*$/.test(digits))
    throw new Error(`tar: expected a size in octal or base 256 at byte ${at + from} of ${path}, got ${JSON.stringify(digits)}`);
  return digits === "" ? 0 : Number.parseInt(digits, 8);
}

/** The sum of the header's bytes, its own field as spaces; some writers summed them as signed. */
function checkSum(header: Uint8Array, at: number, path: string): void {
  const digits = text(header.subarray(148, 156)).trim();
  const given = /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : NaN;
  let [sum, signed] = [0, 0];
  header.forEach((b, i) => {
    const v = i >= 148 && i < 156 ? 32 : b;
    sum += v;
    signed += v > 127 ? v - 256 : v;
  });
  if (given !== sum && given !== signed)
    throw new Error(`tar: expected a header with checksum ${sum} at byte ${at} of ${path}, got ${given}`);
}

function text(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

/** Reads ahead, and answers from the bytes read if it can. */
export function windowed(path: string, read: Read): Window {
  let from = 0;
  let bytes: Uint8Array = new Uint8Array(0);
  return async (offset, length) => {
    if (offset < from || offset + length > from + bytes.length) {
      from = offset;
      bytes = await read({ path, offset, length: Math.max(length, WINDOW) });
    }
    return bytes.subarray(offset - from, offset - from + length);
  };
}

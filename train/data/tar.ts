/**
 * Tar shards as WebDataset writes them: the files of a sample stand together and share a key, its path up to the first dot of its last part; `.jpg`, `.jpeg`,
 * `.png` or `.webp` is the image, `.cls` (an integer) or `.json` (an integer, or an object with `cls` or `label`) its class.
 * POSIX ustar with pax and GNU long names. https://github.com/webdataset/webdataset
 */
import type { FileRange } from "../input/source.ts";

/** Where each image lies, and its label. */
export interface TarSample {
  readonly key: string;
  readonly image: Required<FileRange>;
  readonly label: number;
}

type Read = (from: FileRange) => Promise<Uint8Array>;

const BLOCK = 512;
/** Headers are read with what follows them: small files then need no reading of their own. */
const WINDOW = 1 << 16;
const IMAGES = new Set(["jpg", "jpeg", "png", "webp"]);
/** Of a name or a label; more is no such thing. */
const MOST_TEXT = 1 << 20;

interface Member {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
}

/** The samples of one shard in their order, by its headers and labels; images are not read. Throws for a broken file, naming it and the byte. */
export async function indexTar(path: string, read: Read): Promise<TarSample[]> {
  const window = windowed(path, read);
  const samples: TarSample[] = [];
  let open: { key: string; image?: Required<FileRange>; label?: number } | undefined;
  const finish = (): void => {
    if (open?.image && open.label !== undefined) samples.push({ key: open.key, image: open.image, label: open.label });
    else if (open?.image)
      throw new Error(
        `tar: expected a .cls or .json beside the image of sample ${open.key} in ${path} (record ${samples.length}, byte ${open.image.offset}), got none`,
      );
    else if (open?.label !== undefined)
      throw new Error(`tar: expected an image beside the label of sample ${open.key} in ${path} (record ${samples.length}), got none`);
  };
  for await (const member of members(path, window)) {
    const slash = member.name.lastIndexOf("/") + 1;
    const dot = member.name.indexOf(".", slash);
    if (dot <= slash) continue; // hidden, or without an ending
    const key = member.name.slice(0, dot);
    const ending = member.name.slice(dot + 1).toLowerCase();
    if (open?.key !== key) {
      finish();
      open = { key };
    }
    if (IMAGES.has(ending)) {
      if (open.image) throw new Error(`tar: expected one image in sample ${key} of ${path}, got a second at byte ${member.offset}`);
      open.image = { path, offset: member.offset, length: member.size };
    } else if (ending === "cls" || ending === "json") {
      const text = new TextDecoder().decode(await window(member.offset, Math.min(member.size, MOST_TEXT)));
      open.label = labelOf(text, ending, `${member.name} of ${path}, byte ${member.offset}`);
    }
  }
  finish();
  return samples;
}

function labelOf(text: string, ending: "cls" | "json", where: string): number {
  let value: unknown;
  try {
    value = ending === "cls" && text.trim() === "" ? undefined : (JSON.parse(text) as unknown);
  } catch {
    value = undefined;
  }
  if (typeof value === "object" && value !== null) value = "cls" in value ? value.cls : "label" in value ? value.label : undefined;
  if (!Number.isInteger(value) || (value as number) < 0)
    throw new Error(`tar: expected a class as an integer in ${where}, got ${JSON.stringify(text.slice(0, 40))}`);
  return value as number;
}

/** Regular files in their order. */
async function* members(path: string, window: (offset: number, length: number) => Promise<Uint8Array>): AsyncGenerator<Member> {
  let longName: string | undefined;
  for (let at = 0; ; ) {
    const header = await window(at, BLOCK);
    if (header.length < BLOCK)
      throw new Error(`tar: expected a header or the end's zero block at byte ${at} of ${path}, got ${header.length} bytes`);
    if (header.every((b) => b === 0)) return;
    const size = checkedSize(header, at, path);
    const type = String.fromCharCode(header[156]!);
    const offset = at + BLOCK;
    if (size > 0 && (await window(offset + size - 1, 1)).length < 1)
      throw new Error(`tar: expected ${size} bytes from byte ${offset} of ${path}, got a file that ends before`);
    if (type === "L" || type === "x") {
      const content = text(await window(offset, Math.min(size, MOST_TEXT)));
      longName = type === "L" ? content : (/(?:^|\n)\d+ path=([^\n]*)\n/.exec(`${content}\n`)?.[1] ?? longName);
    } else {
      const prefix = text(header.subarray(257, 262)) === "ustar" ? text(header.subarray(345, 500)) : "";
      const short = text(header.subarray(0, 100));
      if (type === "0" || type === "\0") yield { name: longName ?? (prefix ? `${prefix}/${short}` : short), offset, size };
      longName = undefined;
    }
    at = offset + Math.ceil(size / BLOCK) * BLOCK;
  }
}

/** A header's size, once its checksum holds. */
function checkedSize(header: Uint8Array, at: number, path: string): number {
  const octal = (from: number, length: number) => {
    const digits = text(header.subarray(from, from + length)).trim();
    return /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : NaN;
  };
  const sum = header.reduce((total, b, i) => total + (i >= 148 && i < 156 ? 32 : b), 0);
  const [given, size] = [octal(148, 8), octal(124, 12)];
  if (given !== sum) throw new Error(`tar: expected a header with checksum ${sum} at byte ${at} of ${path}, got ${given}`);
  if (!Number.isSafeInteger(size))
    throw new Error(`tar: expected a size in octal at byte ${at + 124} of ${path}, got "${text(header.subarray(124, 136))}"`);
  return size;
}

function text(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

/** Reads with what follows, and answers from that where it can. */
function windowed(path: string, read: Read): (offset: number, length: number) => Promise<Uint8Array> {
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

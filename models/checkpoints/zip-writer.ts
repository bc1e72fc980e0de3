/** Zip files of stored entries, as PyTorch writes them. */
import { viewOf } from "./file-bytes.ts";
import { CENTRAL, CENTRAL_BYTES, crc32, END, END_BYTES, fail, LOCAL, LOCAL_BYTES } from "./zip-format.ts";

const UTF8_NAMES = 0x800;
const ALIGN = 64;
const PADDING_EXTRA = 0x4246; // the id that PyTorch gives to the field that only aligns

/** A zip file of stored entries; the data of each start at a multiple of 64 bytes. Same entries, same bytes. */
export function writeZip(files: Iterable<readonly [name: string, data: Uint8Array]>): Uint8Array {
  let size = 0;
  const entries = [...files].map(([name, data]) => {
    const encoded = new TextEncoder().encode(name);
    const header = size;
    const plain = header + LOCAL_BYTES + encoded.length + 4; // with the head of the padding's own field
    const start = Math.ceil(plain / ALIGN) * ALIGN;
    size = start + data.length;
    return { encoded, data, header, padding: start - plain, start, crc: crc32(data) };
  });
  const directory = size;
  for (const { encoded } of entries) size += CENTRAL_BYTES + encoded.length;
  if (size + END_BYTES >= 0xffffffff || entries.length >= 0xffff)
    fail("less than 4 GiB and 65535 entries", `${size} bytes and ${entries.length} entries`);
  const bytes = new Uint8Array(size + END_BYTES);
  const view = viewOf(bytes);
  const u16 = (at: number, ...values: number[]) => values.forEach((v, i) => view.setUint16(at + 2 * i, v, true));
  const u32 = (at: number, ...values: number[]) => values.forEach((v, i) => view.setUint32(at + 4 * i, v, true));
  const DOS_EPOCH = 0x21; // 1 January 1980
  let at = directory;
  for (const { encoded, data, header, padding, start, crc } of entries) {
    u32(header, LOCAL);
    u16(header + 4, 20, UTF8_NAMES, 0, 0, DOS_EPOCH);
    u32(header + 14, crc, data.length, data.length);
    u16(header + 26, encoded.length, 4 + padding);
    bytes.set(encoded, header + LOCAL_BYTES);
    u16(header + LOCAL_BYTES + encoded.length, PADDING_EXTRA, padding);
    bytes.set(data, start);
    u32(at, CENTRAL);
    u16(at + 4, 20, 20, UTF8_NAMES, 0, 0, DOS_EPOCH);
    u32(at + 16, crc, data.length, data.length);
    u16(at + 28, encoded.length);
    u32(at + 42, header);
    bytes.set(encoded, at + CENTRAL_BYTES);
    at += CENTRAL_BYTES + encoded.length;
  }
  u32(at, END);
  u16(at + 8, entries.length, entries.length);
  u32(at + 12, at - directory, directory);
  return bytes;
}

/** BMP and PNM files to RGB bytes as Pillow's `convert("RGB")` has them, in Node and in a page alike: sharp reads neither, browsers BMP alone. */
import { checkSize } from "./header.ts";
import type { RgbImage } from "./preprocess.ts";

/** Uncompressed, of 1, 4, 8, 16 (5 bits a channel), 24 or 32 bits. https://learn.microsoft.com/windows/win32/gdi/bitmap-storage */
export function decodeBmp(file: Uint8Array): RgbImage {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  try {
    return bmp(view);
  } catch (error) {
    if (error instanceof RangeError) throw new Error("expected a whole BMP image, got one that ends before its last pixel");
    throw error;
  }
}

function bmp(view: DataView): RgbImage {
  const header = view.getUint32(14, true);
  const core = header === 12;
  const width = core ? view.getUint16(18, true) : view.getInt32(18, true);
  const signed = core ? view.getUint16(20, true) : view.getInt32(22, true);
  const height = Math.abs(signed);
  const bits = view.getUint16(core ? 24 : 28, true);
  const compression = core ? 0 : view.getUint32(30, true);
  checkSize([height, width], view.byteLength);
  const masks = compression === 3 ? [0, 4, 8].map((at) => view.getUint32(54 + at, true)) : null;
  const usual = masks === null || String(masks) === String([0xff0000, 0xff00, 0xff]);
  if ((compression !== 0 && compression !== 3) || ![1, 4, 8, 16, 24, 32].includes(bits) || !usual || (compression === 3 && bits !== 32))
    throw new Error(`expected an uncompressed BMP image, got compression ${compression} of ${bits} bits`);
  const palette = 14 + header;
  const entry = core ? 3 : 4;
  const start = view.getUint32(10, true);
  const stride = 4 * Math.ceil((width * bits) / 32);
  if (start + stride * height > view.byteLength) throw new RangeError("too short");
  const data = new Uint8Array(3 * width * height);
  for (let y = 0, to = 0; y < height; y++) {
    const row = start + stride * (signed > 0 ? height - 1 - y : y);
    for (let x = 0; x < width; x++, to += 3) {
      if (bits === 16) {
        const v = view.getUint16(row + 2 * x, true);
        for (let c = 0; c < 3; c++) data[to + c] = Math.floor((((v >> (10 - 5 * c)) & 31) * 255) / 31);
        continue;
      }
      const bit = x * bits;
      const index =
        bits < 8 ? (view.getUint8(row + (bit >> 3)) >> (8 - bits - (bit & 7))) & ((1 << bits) - 1) : view.getUint8(row + (bit >> 3));
      const from = bits <= 8 ? palette + entry * index : row + (bit >> 3);
      for (let c = 0; c < 3; c++) data[to + c] = view.getUint8(from + 2 - c); // stored blue first
    }
  }
  return { height, width, data };
}

/** P1 to P6: bits, grey or RGB, as digits or as bytes. http://netpbm.sourceforge.net/doc/pnm.html */
export function decodePnm(file: Uint8Array): RgbImage {
  const kind = file[1]! - 48;
  let at = 2;
  const skip = (): void => {
    for (; at < file.length; at++) {
      if (file[at] === 0x23) while (at < file.length && file[at] !== 10 && file[at] !== 13) at++;
      else if (file[at]! > 32) return;
    }
  };
  const number = (digits = 20): number => {
    skip();
    let value = 0;
    const from = at;
    for (; at < file.length && at - from < digits && file[at]! >= 48 && file[at]! <= 57; at++) value = value * 10 + file[at]! - 48;
    if (at === from)
      throw new Error(`expected a number at byte ${at} of a PNM image, got ${at < file.length ? `byte ${file[at]}` : "its end"}`);
    return value;
  };
  const [width, height] = [number(), number()];
  const bits = kind === 1 || kind === 4;
  const most = bits ? 1 : number();
  checkSize([height, width], file.length);
  if (!(most >= 1 && most <= 65535)) throw new Error(`expected a PNM image's largest value to be 1 to 65535, got ${most}`);
  const channels = kind === 3 || kind === 6 ? 3 : 1;
  const n = channels * width * height;
  const bytes = most > 255 ? 2 : 1;
  const stride = kind === 4 ? Math.ceil(width / 8) : channels * width * bytes;
  if (kind > 3) at++; // one space
  if (at + (kind <= 3 ? n : stride * height) > file.length)
    throw new Error("expected a whole PNM image, got one that ends before its last pixel");
  const data = new Uint8Array(3 * width * height);
  const put = (i: number, value: number): void => {
    const byte = bits ? 255 * (1 - value) : most === 255 ? value : Math.min(255, Math.round((value * 255) / most));
    if (channels === 3) data[i] = byte;
    else data.fill(byte, 3 * i, 3 * i + 3);
  };
  if (kind <= 3) {
    for (let i = 0; i < n; i++) put(i, number(bits ? 1 : undefined));
    return { height, width, data };
  }
  for (let i = 0; i < n; i++) {
    if (kind === 4) put(i, (file[at + stride * Math.floor(i / width) + ((i % width) >> 3)]! >> (7 - ((i % width) & 7))) & 1);
    else put(i, bytes === 2 ? 256 * file[at + 2 * i]! + file[at + 2 * i + 1]! : file[at + i]!);
  }
  return { height, width, data };
}

/**
 * Which way up a photograph is, from the EXIF data of a JPEG, PNG, WebP or TIFF. Decoders do not agree on what they turn by themselves
 * (Chromium a JPEG always, a WebP never), so the number is blanked before decoding and the pixels are turned here, in Node and in a page.
 *
 * Tag 0x0112 of https://www.cipa.jp/std/documents/e/DC-008-2012_E.pdf, section 4.6.4
 */
import { imageKind } from "./kinds.ts";
import type { RgbImage } from "./preprocess.ts";

const TAG = 0x0112;
/** Types of the tag that are read, and their bytes: SHORT as the standard asks, LONG as some phones write. Pillow turns by no other. */
const WIDTH: Readonly<Record<number, 2 | 4>> = { 3: 2, 4: 4 };

/** The orientation, 1 to 8 (1 where the file names none), and the file as if it said 1. */
export function splitOrientation(file: Uint8Array<ArrayBuffer>): { readonly orientation: number; readonly file: Uint8Array<ArrayBuffer> } {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  try {
    const start = tiffStart(view, file);
    const found = start === null ? null : entry(view, start);
    if (found && found.value >= 2 && found.value <= 8) {
      const upright = file.slice();
      // In a PNG the chunk's checksum fails now, and decoders pass over it.
      new Uint8Array(upright.buffer)[found.lowByte] = 1;
      return { orientation: found.value, file: upright };
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // data that ends too early says nothing
  }
  return { orientation: 1, file };
}

const text = (view: DataView, at: number, length: number): string =>
  String.fromCharCode(...Array.from({ length }, (_, i) => view.getUint8(at + i)));

/** Where the TIFF data within the file begins. */
function tiffStart(view: DataView, file: Uint8Array): number | null {
  switch (imageKind(file)) {
    case "JPEG":
      for (const { marker, at } of jpegSegments(view)) if (marker === 0xe1 && text(view, at, 4) === "Exif") return at + 6;
      return null;
    case "PNG":
      for (let at = 8; at + 8 <= view.byteLength; at += 12 + view.getUint32(at)) if (text(view, at + 4, 4) === "eXIf") return at + 8;
      return null;
    case "WebP":
      for (let at = 12; at + 8 <= view.byteLength; ) {
        if (text(view, at, 4) === "EXIF") return text(view, at + 8, 4) === "Exif" ? at + 14 : at + 8;
        const size = view.getUint32(at + 4, true);
        at += 8 + size + (size % 2);
      }
      return null;
    case "TIFF":
      return 0;
    default:
      return null;
  }
}

/** Marker segments up to the image data: `at` is the first byte behind the length. Any number of 0xFF may stand before a marker. */
export function* jpegSegments(view: DataView): Generator<{ readonly marker: number; readonly at: number; readonly size: number }> {
  for (let at = 2; view.getUint8(at) === 0xff; ) {
    while (view.getUint8(at) === 0xff) at++;
    const marker = view.getUint8(at++);
    if (marker === 0xda || marker === 0xd9) return;
    if (marker === 0x01 || (marker >= 0xd0 && marker <= 0xd7)) continue; // these have no length
    const size = view.getUint16(at);
    yield { marker, at: at + 2, size: size - 2 };
    at += size;
  }
}

/** The tag in the first directory: its value, and the byte with its lowest bits. */
function entry(view: DataView, start: number): { readonly value: number; readonly lowByte: number } | null {
  const order = text(view, start, 2);
  if (order !== "II" && order !== "MM") return null;
  const little = order === "II";
  const directory = start + view.getUint32(start + 4, little);
  const count = view.getUint16(directory, little);
  for (let i = 0; i < count; i++) {
    const at = directory + 2 + 12 * i;
    if (view.getUint16(at, little) !== TAG) continue;
    const width = WIDTH[view.getUint16(at + 2, little)];
    if (width === undefined || view.getUint32(at + 4, little) !== 1) return null;
    const value = at + 8;
    const number = width === 2 ? view.getUint16(value, little) : view.getUint32(value, little);
    return { value: number, lowByte: little ? value : value + width - 1 };
  }
  return null;
}

/** For each orientation: whether rows become columns, then whether the result runs against the stored order down and across. */
const TURNS: Readonly<Record<number, readonly [swap: boolean, down: boolean, across: boolean]>> = {
  2: [false, false, true],
  3: [false, true, true],
  4: [false, true, false],
  5: [true, false, false],
  6: [true, false, true],
  7: [true, true, true],
  8: [true, true, false],
};

/** The image turned upright. */
export function turned(image: RgbImage, orientation: number): RgbImage {
  const turn = TURNS[orientation];
  if (!turn) return image;
  const [swap, down, across] = turn;
  const [height, width] = swap ? [image.width, image.height] : [image.height, image.width];
  // Bytes between neighbours of the result, in the stored image.
  const [row, column] = swap ? [3, 3 * image.width] : [3 * image.width, 3];
  const data = new Uint8Array(image.data.length);
  for (let y = 0, to = 0; y < height; y++) {
    let from = (down ? height - 1 - y : y) * row + (across ? width - 1 : 0) * column;
    const step = across ? -column : column;
    for (let x = 0; x < width; x++, to += 3, from += step) {
      data[to] = image.data[from]!;
      data[to + 1] = image.data[from + 1]!;
      data[to + 2] = image.data[from + 2]!;
    }
  }
  return { height, width, data };
}

/**
 * Which way up a photograph is, from the EXIF data of a JPEG, PNG or WebP. Browsers do not agree on what they turn by themselves (Chromium
 * a JPEG always, a WebP never), so a page blanks the number before decoding and turns the pixels here.
 *
 * Tag 0x0112 of https://www.cipa.jp/std/documents/e/DC-008-2012_E.pdf, section 4.6.4
 */
import type { RgbImage } from "./preprocess.ts";

const TAG = 0x0112;
const SHORT = 3;

/** The orientation, 1 to 8 (1 where the file names none), and the file as if it said 1. */
export function splitOrientation(file: Uint8Array<ArrayBuffer>): { readonly orientation: number; readonly file: Uint8Array<ArrayBuffer> } {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  try {
    const start = tiffStart(view);
    const found = start === null ? null : entry(view, start);
    if (found && found.value >= 2 && found.value <= 8) {
      const upright = file.slice();
      // In a PNG the chunk's checksum fails now, and decoders pass over it.
      new DataView(upright.buffer).setUint16(found.at, 1, found.little);
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
function tiffStart(view: DataView): number | null {
  if (view.getUint16(0) === 0xffd8) {
    for (let at = 2; view.getUint8(at) === 0xff && view.getUint8(at + 1) !== 0xda; at += 2 + view.getUint16(at + 2)) {
      if (view.getUint8(at + 1) === 0xe1 && text(view, at + 4, 4) === "Exif") return at + 10;
    }
  } else if (text(view, 0, 4) === "RIFF" && text(view, 8, 4) === "WEBP") {
    for (let at = 12; at + 8 <= view.byteLength; ) {
      if (text(view, at, 4) === "EXIF") return text(view, at + 8, 4) === "Exif" ? at + 14 : at + 8;
      const size = view.getUint32(at + 4, true);
      at += 8 + size + (size % 2);
    }
  } else if (text(view, 1, 3) === "PNG") {
    for (let at = 8; at + 8 <= view.byteLength; at += 12 + view.getUint32(at)) {
      if (text(view, at + 4, 4) === "eXIf") return at + 8;
    }
  }
  return null;
}

/** The tag in the first directory: its value, and the byte where that is. */
function entry(view: DataView, start: number): { readonly value: number; readonly at: number; readonly little: boolean } | null {
  const order = text(view, start, 2);
  if (order !== "II" && order !== "MM") return null;
  const little = order === "II";
  const directory = start + view.getUint32(start + 4, little);
  const count = view.getUint16(directory, little);
  for (let i = 0; i < count; i++) {
    const at = directory + 2 + 12 * i;
    if (view.getUint16(at, little) === TAG && view.getUint16(at + 2, little) === SHORT)
      return { value: view.getUint16(at + 8, little), at: at + 8, little };
  }
  return null;
}

/** Where pixel (y, x) of the upright image is in the stored one of (height, width). */
const SOURCE: Readonly<Record<number, (y: number, x: number, height: number, width: number) => readonly [y: number, x: number]>> = {
  2: (y, x, _, width) => [y, width - 1 - x],
  3: (y, x, height, width) => [height - 1 - y, width - 1 - x],
  4: (y, x, height) => [height - 1 - y, x],
  5: (y, x) => [x, y],
  6: (y, x, height) => [height - 1 - x, y],
  7: (y, x, height, width) => [height - 1 - x, width - 1 - y],
  8: (y, x, _, width) => [x, width - 1 - y],
};

/** The image as people see it. */
export function turned(image: RgbImage, orientation: number): RgbImage {
  const source = SOURCE[orientation];
  if (!source) return image;
  const [height, width] = orientation >= 5 ? [image.width, image.height] : [image.height, image.width];
  const data = new Uint8Array(image.data.length);
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < width; x++, to += 3) {
      const [sy, sx] = source(y, x, image.height, image.width);
      const from = 3 * (sy * image.width + sx);
      for (let c = 0; c < 3; c++) data[to + c] = image.data[from + c]!;
    }
  }
  return { height, width, data };
}

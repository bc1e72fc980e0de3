/** Height and width of an image file, from its header, so that the cost of decoding is known before it begins. */
import { jpegSegments } from "./exif.ts";
import { imageKind, type ImageKind } from "./kinds.ts";

export interface ImageHeader {
  readonly kind: ImageKind;
  /** As stored; null where the header does not say, or is not read (TIFF, AVIF). */
  readonly size: readonly [height: number, width: number] | null;
}

/** Throws for a file of another kind. */
export function imageHeader(file: Uint8Array): ImageHeader {
  const kind = imageKind(file);
  if (kind === null) throw new Error(`expected a JPEG, PNG, WebP, GIF, AVIF, BMP, PNM or TIFF image, got ${describe(file)}`);
  try {
    return { kind, size: sizeOf(kind, new DataView(file.buffer, file.byteOffset, file.byteLength), file) };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return { kind, size: null }; // cut short: the decoder says so
  }
}

const describe = (file: Uint8Array): string =>
  file.length === 0 ? "an empty file" : `bytes ${Array.from(file.subarray(0, 4), (b) => b.toString(16).padStart(2, "0")).join(" ")} …`;

function sizeOf(kind: ImageKind, view: DataView, file: Uint8Array): ImageHeader["size"] {
  switch (kind) {
    case "JPEG":
      // Frame headers are C0 to CF but for three: DHT, JPG and DAC.
      for (const { marker, at } of jpegSegments(view))
        if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker))
          return [view.getUint16(at + 1), view.getUint16(at + 3)];
      return null;
    case "PNG":
      return [view.getUint32(20), view.getUint32(16)];
    case "GIF":
      return [view.getUint16(8, true), view.getUint16(6, true)];
    case "BMP":
      return view.getUint32(14, true) === 12
        ? [view.getUint16(20, true), view.getUint16(18, true)]
        : [Math.abs(view.getInt32(22, true)), view.getInt32(18, true)];
    case "WebP":
      return webpSize(view);
    case "PNM":
      return pnmSize(file);
    default:
      return null;
  }
}

/** https://developers.google.com/speed/webp/docs/riff_container */
function webpSize(view: DataView): ImageHeader["size"] {
  const u24 = (at: number): number => view.getUint16(at, true) + 65536 * view.getUint8(at + 2);
  switch (view.getUint32(12)) {
    case 0x56503858: // "VP8X"
      return [u24(27) + 1, u24(24) + 1];
    case 0x5650384c: {
      // "VP8L"
      const bits = view.getUint32(21, true);
      return [((bits >> 14) & 0x3fff) + 1, (bits & 0x3fff) + 1];
    }
    case 0x56503820: // "VP8 "
      return [view.getUint16(28, true) & 0x3fff, view.getUint16(26, true) & 0x3fff];
    default:
      return null;
  }
}

function pnmSize(file: Uint8Array): ImageHeader["size"] {
  const start = new TextDecoder("latin1").decode(file.subarray(2, 4096)).replace(/#[^\n\r]*/g, " ");
  const [, width, height] = /^\s+(\d+)\s+(\d+)\s/.exec(start) ?? [];
  return width === undefined ? null : [Number(height), Number(width)];
}

/** Pixels that any file may hold: 8192 x 8192. */
const MOST_PIXELS = 8192 ** 2;
/** Larger photographs are read if the file is large enough to hold them, up to Pillow's limit. */
const PIXELS_PER_BYTE = 256;
const MOST_EVER = 178_956_970;

/** Throws for sizes that are not positive or too large for the file: n bytes decode to at most 8192 x 8192 or 256 n pixels. */
export function checkSize([height, width]: readonly [height: number, width: number], bytes: number): void {
  if (!(height >= 1 && width >= 1)) throw new Error(`expected an image of at least one pixel, got ${height}x${width}`);
  const most = Math.min(MOST_EVER, Math.max(MOST_PIXELS, PIXELS_PER_BYTE * bytes));
  if (height * width > most) throw new Error(`expected at most ${most} pixels in a file of ${bytes} bytes, got ${height}x${width}`);
}

/**
 * Image files to RGB bytes in Node, as Pillow's `convert("RGB")` has them: colour profiles and gamma ignored, transparency dropped, CMYK
 * without colour management. Of 16 bits the upper 8 stay, of grey too, which Pillow would clip. models/images/decode.ts does it in a page.
 */
import type Sharp from "sharp";
import { isPlain } from "../../engine/errors.ts";
import { decodeBmp, decodePnm } from "../../models/images/bitmap.ts";
import { splitOrientation, turned } from "../../models/images/exif.ts";
import { checkSize, imageHeader } from "../../models/images/header.ts";
import type { RgbImage } from "../../models/images/preprocess.ts";
import type { DecodeOptions } from "../../train/input/source.ts";

/** Images of more pixels are decoded one at a time. */
const LARGE = 4096 ** 2;
let large: Promise<unknown> = Promise.resolve();

/** Throws one line, the same as in a page, for bytes that are not a whole image of a known kind, or whose header claims too large a size. */
export async function decodeImage(encoded: Uint8Array<ArrayBuffer>, { upright }: DecodeOptions): Promise<RgbImage> {
  const { kind, size } = imageHeader(encoded);
  if (size) checkSize(size, encoded.length);
  if (kind === "BMP") return decodeBmp(encoded);
  if (kind === "PNM") return decodePnm(encoded);
  const { orientation, file } = splitOrientation(encoded);
  const { default: sharp } = await import("sharp"); // loaded late: most commands need no image library
  const decode = () =>
    pixels(sharp, file).catch((error: Error) => {
      if (!isPlain(error)) throw error; // no memory left
      // libvips keeps one error text for all threads, so its text may be about another file.
      throw error instanceof SizeError ? error : new Error(`expected a whole ${kind} image, got one that is damaged or cut short`);
    });
  const decoded = size && size[0] * size[1] <= LARGE ? decode() : (large = large.then(decode, decode));
  const stored = (await decoded) as RgbImage;
  return upright || kind === "TIFF" ? turned(stored, orientation) : stored; // Pillow turns a TIFF as it loads it
}

class SizeError extends Error {}

async function pixels(sharp: typeof Sharp, file: Uint8Array): Promise<RgbImage> {
  const image = sharp(file, { ignoreIcc: true, failOn: "truncated", pages: 1, limitInputPixels: false });
  const { width, height, space } = await image.metadata();
  try {
    checkSize([height, width], file.length);
  } catch (error) {
    throw new SizeError((error as Error).message);
  }
  if (space === "cmyk") {
    const { data, info } = await image.pipelineColourspace("cmyk").toColourspace("cmyk").raw().toBuffer({ resolveWithObject: true });
    return { height: info.height, width: info.width, data: cmykToRgb(data) };
  }
  const { data, info } = await image.toColourspace("srgb").removeAlpha().raw().toBuffer({ resolveWithObject: true });
  if (info.channels !== 3) throw new Error(`expected 3 channels, got ${info.channels}`);
  return { height: info.height, width: info.width, data };
}

/** As Pillow: v (255 - k) / 255, rounded. */
function cmykToRgb(cmyk: Uint8Array): Uint8Array {
  const rgb = new Uint8Array((cmyk.length / 4) * 3);
  for (let i = 0, at = 0; i < cmyk.length; i += 4, at += 3) {
    const light = 255 - cmyk[i + 3]!;
    for (let c = 0; c < 3; c++) rgb[at + c] = light - Math.round((cmyk[i + c]! * light) / 255);
  }
  return rgb;
}

/** The bytes of a PNG file. */
export async function encodePng({ height, width, data }: RgbImage): Promise<Uint8Array> {
  const { default: sharp } = await import("sharp");
  return sharp(data, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();
}

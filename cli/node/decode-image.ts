/**
 * Image files to RGB bytes in Node, as Pillow's `convert("RGB")` has them: colour profiles and gamma ignored, transparency dropped, CMYK
 * without colour management. Of 16 bits the upper 8 stay, of grey too, which Pillow would clip. models/images/decode.ts does it in a page.
 */
import type { RgbImage } from "../../models/images/preprocess.ts";
import type { DecodeOptions } from "../../train/input/source.ts";

/** Throws what the decoder says where the bytes are no whole JPEG, PNG or WebP. */
export async function decodeImage(encoded: Uint8Array, { upright }: DecodeOptions): Promise<RgbImage> {
  const { default: sharp } = await import("sharp"); // loaded late: most commands need no image library
  const source = () => {
    const image = sharp(encoded, { ignoreIcc: true, failOn: "truncated", pages: 1 });
    return upright ? image.autoOrient() : image;
  };
  const { format, space } = await sharp(encoded).metadata();
  if (format !== "jpeg" && format !== "png" && format !== "webp") throw new Error(`expected JPEG, PNG or WebP, got ${format}`);
  if (space === "cmyk") {
    const { data, info } = await source().pipelineColourspace("cmyk").toColourspace("cmyk").raw().toBuffer({ resolveWithObject: true });
    return { height: info.height, width: info.width, data: cmykToRgb(data) };
  }
  const { data, info } = await source().toColourspace("srgb").removeAlpha().raw().toBuffer({ resolveWithObject: true });
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

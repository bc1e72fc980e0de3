/**
 * Image files to RGB bytes in a page or worker: the browser's decoder without colour management, transparency dropped. Read back through
 * WebGL, since a 2D canvas multiplies by the transparency first and loses what lay below. cli/node/decode-image.ts does it in Node. Of CMYK
 * Chromium's rounding is its own: a level beside Pillow's in places.
 */
import { DeviceLostError, OutOfMemoryError, ValidationError } from "../../engine/errors.ts";
import { decodeBmp, decodePnm } from "./bitmap.ts";
import { splitOrientation, turned } from "./exif.ts";
import { checkSize, imageHeader } from "./header.ts";
import type { RgbImage } from "./preprocess.ts";

/** Throws one line, the same as in Node, for bytes that are not a whole image of a known kind. `upright`: turned as the file's EXIF data says. */
export async function decodeImage(encoded: Uint8Array<ArrayBuffer>, { upright }: { readonly upright: boolean }): Promise<RgbImage> {
  const { kind, size } = imageHeader(encoded);
  if (size) checkSize(size, encoded.length);
  if (kind === "BMP") return decodeBmp(encoded);
  if (kind === "PNM") return decodePnm(encoded);
  const { orientation, file } = splitOrientation(encoded);
  const bitmap = await createImageBitmap(new Blob([file]), { premultiplyAlpha: "none", colorSpaceConversion: "none" }).catch(() => {
    const got =
      kind === "TIFF" ? "TIFF, which browsers do not decode" : "one that is damaged, cut short, or more than this browser decodes";
    throw new Error(`expected a whole ${kind === "TIFF" ? "image that a page can decode" : `${kind} image`}, got ${got}`);
  });
  try {
    checkSize([bitmap.height, bitmap.width], encoded.length);
    const stored = { height: bitmap.height, width: bitmap.width, data: await pixelsOf(bitmap) };
    return upright ? turned(stored, orientation) : stored;
  } finally {
    bitmap.close();
  }
}

/** Pixels per side of a tile, also bounded by the texture limit. */
const TILE = 4096;

/** RGB bytes, not multiplied by the transparency. A bitmap larger than a texture is read tile by tile. */
async function pixelsOf(bitmap: ImageBitmap): Promise<Uint8Array> {
  const gl = webgl();
  const side = Math.min(TILE, gl.getParameter(gl.MAX_TEXTURE_SIZE) as number);
  const { width, height } = bitmap;
  const rgb = new Uint8Array(3 * width * height);
  if (width <= side && height <= side) {
    copyTile(readBack(gl, bitmap, width, height), rgb, width, { top: 0, left: 0, width, height });
    return rgb;
  }
  for (let top = 0; top < height; top += side) {
    for (let left = 0; left < width; left += side) {
      const place = { top, left, width: Math.min(side, width - left), height: Math.min(side, height - top) };
      const tile = await createImageBitmap(bitmap, left, top, place.width, place.height, {
        premultiplyAlpha: "none",
        colorSpaceConversion: "none",
      });
      try {
        copyTile(readBack(gl, tile, place.width, place.height), rgb, width, place);
      } finally {
        tile.close();
      }
    }
  }
  return rgb;
}

let shared: WebGL2RenderingContext | null = null;

function webgl(): WebGL2RenderingContext {
  if (shared?.isContextLost()) shared = null;
  shared ??= new OffscreenCanvas(1, 1).getContext("webgl2");
  if (!shared) throw new DeviceLostError("decodeImage: expected WebGL 2, got none");
  return shared;
}

/** RGBA bytes. */
function readBack(gl: WebGL2RenderingContext, bitmap: ImageBitmap, width: number, height: number): Uint8Array {
  const texture = gl.createTexture();
  const frame = gl.createFramebuffer();
  try {
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
    gl.bindFramebuffer(gl.FRAMEBUFFER, frame);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
    const rgba = new Uint8Array(4 * width * height);
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, rgba);
    const fault = gl.getError();
    if (fault !== gl.NO_ERROR) throw notRead(gl, fault, `decodeImage: expected the pixels of ${height}x${width}`);
    return rgba;
  } finally {
    gl.deleteFramebuffer(frame);
    gl.deleteTexture(texture);
  }
}

/** The error of a GPU that gives no pixels, which is not the picture's fault. */
function notRead(gl: WebGL2RenderingContext, fault: number, expected: string): Error {
  if (fault === gl.OUT_OF_MEMORY) return new OutOfMemoryError(`${expected}, got no GPU memory`);
  if (gl.isContextLost()) return new DeviceLostError(`${expected}, got a lost WebGL context`);
  return new ValidationError(`${expected}, got WebGL error ${fault}`);
}

interface Place {
  readonly top: number;
  readonly left: number;
  readonly width: number;
  readonly height: number;
}

/** Copies a tile's RGBA bytes to their place among the RGB bytes of an image `across` pixels wide. */
function copyTile(rgba: Uint8Array, rgb: Uint8Array, across: number, { top, left, width, height }: Place): void {
  for (let y = 0, from = 0; y < height; y++) {
    for (let x = 0, to = 3 * ((top + y) * across + left); x < width; x++, from += 4, to += 3) {
      rgb[to] = rgba[from]!;
      rgb[to + 1] = rgba[from + 1]!;
      rgb[to + 2] = rgba[from + 2]!;
    }
  }
}

/** The bytes of a PNG file. */
export async function encodePng({ height, width, data }: RgbImage): Promise<Uint8Array> {
  const canvas = new OffscreenCanvas(width, height);
  const pixels = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) pixels.data.set([data[3 * i]!, data[3 * i + 1]!, data[3 * i + 2]!, 255], 4 * i);
  canvas.getContext("2d")!.putImageData(pixels, 0, 0);
  return new Uint8Array(await (await canvas.convertToBlob({ type: "image/png" })).arrayBuffer());
}

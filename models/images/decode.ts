/**
 * Image files to RGB bytes in a page or worker: the browser's decoder without colour management, transparency dropped. Read back through
 * WebGL, since a 2D canvas multiplies by the transparency first and loses what lay below. cli/node/decode-image.ts does it in Node. Of CMYK
 * Chromium's rounding is its own: a level beside Pillow's in places.
 */
import type { RgbImage } from "./preprocess.ts";
import { splitOrientation, turned } from "./exif.ts";

/** Throws where the browser cannot decode the bytes. `upright`: turned as the file's EXIF data says. */
export async function decodeImage(encoded: Uint8Array<ArrayBuffer>, { upright }: { readonly upright: boolean }): Promise<RgbImage> {
  const { orientation, file } = splitOrientation(encoded);
  const bitmap = await createImageBitmap(new Blob([file]), { premultiplyAlpha: "none", colorSpaceConversion: "none" });
  try {
    const stored = { height: bitmap.height, width: bitmap.width, data: withoutAlpha(pixelsOf(bitmap)) };
    return upright ? turned(stored, orientation) : stored;
  } finally {
    bitmap.close();
  }
}

let shared: WebGL2RenderingContext | null = null;

/** RGBA bytes, not premultiplied. */
function pixelsOf(bitmap: ImageBitmap): Uint8Array {
  if (shared?.isContextLost()) shared = null;
  shared ??= new OffscreenCanvas(1, 1).getContext("webgl2");
  const gl = shared;
  if (!gl) throw new Error("decodeImage: expected WebGL 2, got none");
  const most = gl.getParameter(gl.MAX_TEXTURE_SIZE) as number;
  const { width, height } = bitmap;
  if (width > most || height > most) throw new Error(`decodeImage: expected at most ${most} pixels per side, got ${height}x${width}`);
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
    if (fault !== gl.NO_ERROR) throw new Error(`decodeImage: expected the pixels of ${height}x${width}, got WebGL error ${fault}`);
    return rgba;
  } finally {
    gl.deleteFramebuffer(frame);
    gl.deleteTexture(texture);
  }
}

function withoutAlpha(rgba: Uint8Array): Uint8Array {
  const rgb = new Uint8Array((rgba.length / 4) * 3);
  for (let i = 0, at = 0; i < rgba.length; i += 4) {
    rgb[at++] = rgba[i]!;
    rgb[at++] = rgba[i + 1]!;
    rgb[at++] = rgba[i + 2]!;
  }
  return rgb;
}

/** The bytes of a PNG file. */
export async function encodePng({ height, width, data }: RgbImage): Promise<Uint8Array> {
  const canvas = new OffscreenCanvas(width, height);
  const pixels = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) pixels.data.set([data[3 * i]!, data[3 * i + 1]!, data[3 * i + 2]!, 255], 4 * i);
  canvas.getContext("2d")!.putImageData(pixels, 0, 0);
  return new Uint8Array(await (await canvas.convertToBlob({ type: "image/png" })).arrayBuffer());
}

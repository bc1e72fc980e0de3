/** Opens pictures of every kind. Files are decoded on the CPU, to the same bytes as Pillow; pixels in objects of the platform stay there. */
import { getDevice } from "../engine/device.ts";
import { sizeOf, type ImageSource } from "../kernels/images/image.ts";
import { decodeImage } from "../models/images/decode.ts";
import type { RgbImage } from "../models/images/preprocess.ts";
import type { ImageInput } from "./api.ts";
import { PictureError, reasonOf } from "./errors.ts";

/** Decoded bytes, or an input of `placedImage`; `close` frees what was made for it. */
export type Picture =
  | { readonly kind: "bytes"; readonly image: RgbImage; readonly close?: undefined }
  | { readonly kind: "platform"; readonly image: ImageSource; readonly close?: () => void };

/** Throws PictureError if it holds no picture. */
export async function openPicture(input: ImageInput, signal?: AbortSignal): Promise<Picture> {
  signal?.throwIfAborted();
  if (typeof input === "string" || input instanceof URL) return bytesOf(await download(input, signal));
  if (input instanceof Blob) return bytesOf(input);
  if (typeof input !== "object" || input === null) throw unknown(input);
  if ("naturalWidth" in input) await loaded(input);
  else if ("videoWidth" in input && input.readyState < 2)
    throw new PictureError("picture: expected a video that shows a frame, got one that has none yet: wait for its loadeddata event");
  if (!("width" in input || "videoWidth" in input || "displayWidth" in input)) throw unknown(input);
  const { width, height } = sizeOf(input);
  if (!(width >= 1 && height >= 1))
    throw new PictureError(`picture: expected at least one pixel, got ${width}x${height} of ${kindOf(input)}`);
  return "videoWidth" in input || "displayWidth" in input ? frameOf(input) : { kind: "platform", image: input };
}

/** Copies the current frame: the video moves on before the model is ready. Copying frames to WebGPU directly crashes Chromium's software renderer. */
async function frameOf(video: HTMLVideoElement | VideoFrame): Promise<Picture> {
  const image = await createImageBitmap(video, { colorSpaceConversion: "none" });
  return { kind: "platform", image, close: () => image.close() };
}

const unknown = (input: unknown): PictureError =>
  new PictureError(
    `picture: expected a URL, Blob, ImageData, ImageBitmap, <img>, canvas, <video>, VideoFrame or GPUTexture, got ${kindOf(input)}`,
  );
const kindOf = (input: unknown): string =>
  typeof input === "object" && input !== null ? (input.constructor?.name ?? "an object") : String(input);

async function download(url: string | URL, signal: AbortSignal | undefined): Promise<Blob> {
  const response = await fetch(url, signal ? { signal } : {}).catch((error: unknown) => {
    if (signal?.aborted) throw error;
    throw new PictureError(`picture: expected a picture at ${url}, got ${reasonOf(error)}`);
  });
  if (!response.ok) throw new PictureError(`picture: expected a picture at ${url}, got status ${response.status}`);
  return response.blob();
}

async function bytesOf(blob: Blob): Promise<Picture> {
  const what = `${blob instanceof File && blob.name ? blob.name : blob.type || "a file"} of ${blob.size} bytes`;
  if (typeof createImageBitmap === "undefined")
    throw new PictureError(
      `picture: expected a platform that decodes files, got ${what} where there is none: give { data, width, height }`,
    );
  try {
    return { kind: "bytes", image: await decodeImage(new Uint8Array(await blob.arrayBuffer()), { upright: true }) };
  } catch (error) {
    throw new PictureError(`picture: expected a picture that this browser can decode, got ${what} (${reasonOf(error)})`);
  }
}

async function loaded(image: HTMLImageElement): Promise<void> {
  await image.decode().catch((error: unknown) => {
    throw new PictureError(`picture: expected an image that loads, got ${image.currentSrc || image.src} (${reasonOf(error)})`);
  });
}

/** The picture's bytes on the CPU, for fine-tuning's augmentation. */
export async function readPicture(input: ImageInput, signal?: AbortSignal): Promise<RgbImage> {
  const picture = await openPicture(input, signal);
  if (picture.kind === "bytes") return picture.image;
  const { image } = picture;
  const { width, height } = sizeOf(image);
  const rgba = "createView" in image ? await texels(image) : "data" in image ? image.data : drawn(image, width, height);
  picture.close?.();
  const data = new Uint8Array(3 * width * height);
  for (let i = 0, at = 0; i < data.length; i += 3, at += 4) for (let c = 0; c < 3; c++) data[i + c] = rgba[at + c]!;
  return { height, width, data };
}

function drawn(image: Exclude<ImageSource, ImageData | GPUTexture>, width: number, height: number): Uint8ClampedArray {
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true })!;
  context.drawImage(image, 0, 0, width, height);
  return context.getImageData(0, 0, width, height).data;
}

async function texels(texture: GPUTexture): Promise<Uint8Array> {
  const { width, height, format, usage } = texture;
  if (!/^(rgba|bgra)8unorm(-srgb)?$/.test(format) || !(usage & GPUTextureUsage.COPY_SRC))
    throw new PictureError(`picture: expected a texture of 8-bit RGBA or BGRA with the usage COPY_SRC, got ${format} usage ${usage}`);
  const device = getDevice();
  const row = Math.ceil((4 * width) / 256) * 256; // WebGPU's rows begin at multiples of 256 bytes
  const buffer = device.gpu.createBuffer({ size: row * height, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  const encoder = device.gpu.createCommandEncoder();
  encoder.copyTextureToBuffer({ texture }, { buffer, bytesPerRow: row }, [width, height]);
  device.guard(() => device.gpu.queue.submit([encoder.finish()]));
  await device.wait(buffer.mapAsync(GPUMapMode.READ));
  const padded = new Uint8Array(buffer.getMappedRange());
  const out = new Uint8Array(4 * width * height);
  for (let y = 0; y < height; y++) out.set(padded.subarray(y * row, y * row + 4 * width), 4 * width * y);
  buffer.destroy();
  if (format.startsWith("bgra")) for (let i = 0; i < out.length; i += 4) [out[i], out[i + 2]] = [out[i + 2]!, out[i]!];
  return out;
}

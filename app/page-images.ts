/** Files and images for the input pipeline, in a page or a worker of it. `decodeInPage` needs nothing but the browser. */
import type { RgbImage } from "../models/preprocess.ts";
import type { ImagePlatform } from "../train/input/source.ts";

/** RGB bytes, as the file has them: without rotation by metadata and colour management. Translucent pixels may lose a bit. */
export async function decodeInPage(encoded: Uint8Array<ArrayBuffer>): Promise<RgbImage> {
  const bitmap = await createImageBitmap(new Blob([encoded]), { colorSpaceConversion: "none", premultiplyAlpha: "none", imageOrientation: "none" as ImageOrientation });
  const { height, width } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true })!;
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const rgba = context.getImageData(0, 0, width, height).data;
  const data = new Uint8Array(3 * height * width);
  for (let i = 0; i < height * width; i++) {
    data[3 * i] = rgba[4 * i]!;
    data[3 * i + 1] = rgba[4 * i + 1]!;
    data[3 * i + 2] = rgba[4 * i + 2]!;
  }
  return { height, width, data };
}

/** `fileUrl` is where a file of the host is read. */
export function pageImages(fileUrl: string): ImagePlatform {
  return {
    async read({ path, offset, length }) {
      const part = offset === undefined && length === undefined ? "" : `&offset=${offset ?? 0}${length === undefined ? "" : `&length=${length}`}`;
      const response = await fetch(`${fileUrl}?path=${encodeURIComponent(path)}${part}`);
      if (!response.ok) throw new Error(((await response.json()) as { message: string }).message);
      return new Uint8Array(await response.arrayBuffer());
    },
    decode: decodeInPage,
    startWorker() {
      const worker = new Worker(new URL("./image-worker.ts", import.meta.url), { type: "module", name: fileUrl });
      return {
        post: (message, transfer) => worker.postMessage(message, transfer),
        listen(onMessage, onError) {
          worker.onmessage = (event) => onMessage(event.data);
          worker.onerror = (event) => onError(new Error(`input worker: ${event.message || "expected it to load, got an error"}`));
        },
        close: async () => worker.terminate(),
      };
    },
  };
}

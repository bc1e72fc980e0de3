/** The interface of a labelled set of images, with bytes in memory or in encoded files. */
import { toPlanes, type RgbImage } from "../../models/images/preprocess.ts";
import type { ImageSet } from "../data/dataset.ts";

/** Bytes (3, height, width). */
export interface RawImage {
  readonly height: number;
  readonly width: number;
  readonly data: Uint8Array<ArrayBuffer>;
}

/** A file, or the part of one that holds an image. */
export interface FileRange {
  readonly path: string;
  readonly offset?: number;
  readonly length?: number;
}

export interface ImageSource {
  readonly count: number;
  readonly classes: readonly string[];
  /** Null where sizes differ. */
  readonly shape: readonly [channels: 3, height: number, width: number] | null;
  label(i: number): number;
  /** Name of image `i` for messages: its file, or its place in one. */
  name(i: number): string;
  /** A view of its bytes if they are in memory; else the place of the encoded image. */
  at(i: number): RawImage | FileRange;
}

export const inMemory = (image: RawImage | FileRange): image is RawImage => "data" in image;

export interface DecodeOptions {
  /** True: turned as the file's EXIF data says; false: as stored, as for published ImageNet accuracies. */
  readonly upright: boolean;
}

/** Files, image decoders and threads of a machine: `nodeImages` in Node, `pageImages` in a page. */
export interface ImagePlatform {
  /** Bytes of a file; fewer than `length` where the file ends before. */
  read(from: FileRange): Promise<Uint8Array<ArrayBuffer>>;
  /** RGB bytes of an image file without colour management, transparency dropped. */
  decode(encoded: Uint8Array<ArrayBuffer>, options: DecodeOptions): Promise<RgbImage>;
  /** The bytes of a PNG file. */
  encodePng(image: RgbImage): Promise<Uint8Array>;
  /** A thread that runs `serveImages` on this platform. */
  startWorker(): ImageWorker;
}

/** The two ends of a thread, as Node and browsers both have them. */
export interface ImageWorker {
  post(message: unknown, transfer: ArrayBuffer[]): void;
  /** Called once, before the first `post`. */
  listen(onMessage: (message: unknown) => void, onError: (error: Error) => void): void;
  close(): Promise<void>;
}

/** `name` names its images in messages. The shape must have 3 channels. */
export function memorySource(set: ImageSet, name: string): ImageSource {
  const [channels, height, width] = set.shape;
  if (channels !== 3) throw new Error(`memorySource: expected images of 3 channels, got ${channels}`);
  const size = 3 * height * width;
  const images = set.images as Uint8Array<ArrayBuffer>;
  return {
    count: set.count,
    classes: set.classes,
    shape: [3, height, width],
    label: (i) => set.labels[i]!,
    name: (i) => `${name}, image ${i}`,
    at: (i) => ({ height, width, data: images.subarray(i * size, (i + 1) * size) }),
  };
}

/** The image itself, wherever it lies. */
export async function readImage(at: RawImage | FileRange, platform: ImagePlatform): Promise<RawImage> {
  return inMemory(at) ? at : planar(await platform.decode(await platform.read(at), { upright: false }));
}

export const planar = (image: RgbImage): RawImage => ({
  height: image.height,
  width: image.width,
  data: toPlanes(image) as Uint8Array<ArrayBuffer>,
});

/** (3, height, width) to (height, width, 3). */
export function interleaved({ height, width, data }: RawImage): RgbImage {
  const n = height * width;
  const out = new Uint8Array(3 * n);
  for (let i = 0; i < n; i++) {
    out[3 * i] = data[i]!;
    out[3 * i + 1] = data[n + i]!;
    out[3 * i + 2] = data[2 * n + i]!;
  }
  return { height, width, data: out };
}

/** Damaged files for the readers of data and images: whole ones with bytes changed, cut, doubled or set to extremes. Each reader answers or refuses. */
import { Random } from "../../kernels/shared/random.ts";
import { decodeBmp, decodePnm } from "../../models/images/bitmap.ts";
import { splitOrientation } from "../../models/images/exif.ts";
import { imageHeader } from "../../models/images/header.ts";
import { parseCifar100 } from "../../train/data/cifar100.ts";
import { parseCifar } from "../../train/data/dataset.ts";
import { gunzip, parseIdxImages } from "../../train/data/idx.ts";
import { openSource } from "../../train/data/open.ts";
import type { FileRange } from "../../train/input/source.ts";

export interface Fuzzed {
  readonly inputs: number;
  readonly read: number;
  readonly refused: number;
  readonly slowestMs: number;
  /** The most bytes that results held, as a multiple of the input's. */
  readonly mostPerByte: number;
}

/** What a reader gives, by its size in bytes; refusals are Errors of this project's form. */
type Reader = (file: Uint8Array<ArrayBuffer>) => number | Promise<number>;

const EXTREMES = [0, 1, 0x7f, 0x80, 0xff];

/** One to eight changes, most of them in the first 600 bytes, where headers are. */
export function damaged(file: Uint8Array, random: Random): Uint8Array<ArrayBuffer> {
  let bytes = Uint8Array.from(file);
  for (let n = 1 + random.int(8); n > 0 && bytes.length > 0; n--) {
    const at = random.int(random.int(3) ? Math.min(bytes.length, 600) : bytes.length);
    switch (random.int(6)) {
      case 0:
        bytes[at]! ^= 1 << random.int(8);
        break;
      case 1:
        bytes[at] = EXTREMES[random.int(EXTREMES.length)]!;
        break;
      case 2:
        bytes.fill(EXTREMES[random.int(EXTREMES.length)]!, at, at + 1 + random.int(12));
        break;
      case 3:
        bytes = bytes.slice(0, at);
        break;
      case 4:
        bytes[at] = 48 + random.int(10); // a digit: sizes in text
        break;
      default:
        bytes.copyWithin(at, random.int(bytes.length), random.int(bytes.length));
    }
  }
  return bytes;
}

/** Runs `reader` on `inputs` damaged copies of `files`. Throws where it fails otherwise than with a refusal, naming the input's number. */
export async function fuzz(files: readonly Uint8Array[], reader: Reader, inputs: number, seed: number): Promise<Fuzzed> {
  const random = new Random(seed, 0x66757a7a);
  let [read, slowestMs, mostPerByte] = [0, 0, 0];
  for (let i = 0; i < inputs; i++) {
    const input = damaged(files[i % files.length]!, random);
    const startMs = performance.now();
    try {
      const bytes = await reader(input);
      mostPerByte = Math.max(mostPerByte, bytes / Math.max(1, input.length));
      read++;
    } catch (error) {
      if (!(error instanceof Error) || error.name !== "Error" || !/expected .*(, got|but|until)/s.test(error.message))
        throw new Error(`fuzz: expected a refusal of input ${i}, got ${String(error)}`, { cause: error });
    }
    slowestMs = Math.max(slowestMs, performance.now() - startMs);
  }
  return { inputs, read, refused: inputs - read, slowestMs, mostPerByte };
}

const rangeOf = (file: Uint8Array<ArrayBuffer>) => (from: FileRange) =>
  Promise.resolve(file.slice(from.offset ?? 0, from.length === undefined ? undefined : (from.offset ?? 0) + from.length));

export const READERS: Readonly<Record<string, Reader>> = {
  tar: async (file) => {
    const source = await openSource({ kind: "tar", shards: ["s.tar"], classes: null }, rangeOf(file));
    for (let i = 0; i < source.count; i++) {
      const { offset = 0, length = 0 } = source.at(i) as FileRange;
      if (offset + length > file.length) throw new RangeError(`sample ${i} ends behind the file`);
    }
    return 64 * (source.count + source.classes.length);
  },
  IDX: async (file) => {
    const images = await gunzip(file, "i");
    const count = images.length < 8 ? 0 : new DataView(images.buffer).getUint32(4);
    const labels = Uint8Array.from([
      0,
      0,
      8,
      1,
      ...[24, 16, 8, 0].map((s) => (count >>> s) & 255),
      ...new Uint8Array(Math.min(count, 4096)),
    ]);
    return parseIdxImages({ images, labels, names: ["i", "l"], classes: null, pad: 2 }).images.length;
  },
  CIFAR: (file) => (file.length % 2 ? parseCifar(file) : parseCifar100(file)).images.length,
  "image headers": (file) => {
    const { orientation, file: blanked } = splitOrientation(file);
    if (orientation < 1 || orientation > 8 || blanked.length !== file.length) throw new RangeError(`orientation ${orientation}`);
    imageHeader(file);
    return 0;
  },
  "BMP and PNM": (file) => (file[0] === 0x50 ? decodePnm(file) : decodeBmp(file)).data.length,
};

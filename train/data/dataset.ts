/**
 * Labelled images in memory, and the order of an epoch.
 *
 * Every random choice is a function of (seed, epoch, image), never of what was drawn before, so that a resumed run, another
 * batch size or another worker count sees the same images.
 *
 * CIFAR-10: Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html
 */
import { Random } from "../../kernels/shared/random.ts";

/** `images` is (count, ...shape) bytes, `shape` is [channels, height, width], `labels` index into `classes`. */
export interface ImageSet {
  images: Uint8Array;
  labels: Uint8Array;
  count: number;
  classes: string[];
  shape: [channels: number, height: number, width: number];
}

export const CIFAR10_CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];
/** Per-channel mean and deviation of the 50,000 training images, in [0, 1] units. */
export const CIFAR10_MEAN = [0.49139968, 0.48215841, 0.44653091] as const;
export const CIFAR10_STD = [0.24703223, 0.24348513, 0.26158784] as const;

const CIFAR_SHAPE: ImageSet["shape"] = [3, 32, 32];
const IMAGE_BYTES = 3 * 32 * 32;
const RECORD_BYTES = 1 + IMAGE_BYTES;

// Random streams, by four letters so that they stay distinct from other users of the same seed.
const SHUFFLE = 0x73687566; // "shuf"
const SUBSET = 0x73756273; // "subs"

/**
 * The CIFAR-10 binary form: records of one label byte and 3072 bytes (3, 32, 32). `classes` is their count or their names.
 * Throws for an empty or truncated file and for a label out of range, naming the record.
 */
export function parseCifar(bytes: Uint8Array, classes: number | readonly string[] = 10): ImageSet {
  const names = typeof classes === "number" ? classNames(classes) : [...classes];
  if (names.length < 1 || names.length > 256) throw new Error(`parseCifar: expected 1 to 256 classes, got ${names.length}`);
  if (bytes.length === 0) throw new Error(`parseCifar: expected at least one record of ${RECORD_BYTES} bytes, got an empty file`);
  const count = Math.floor(bytes.length / RECORD_BYTES);
  const rest = bytes.length % RECORD_BYTES;
  if (rest !== 0) {
    throw new Error(`parseCifar: expected whole records of ${RECORD_BYTES} bytes, got ${count} records and ${rest} bytes more`);
  }
  const images = new Uint8Array(count * IMAGE_BYTES);
  const labels = new Uint8Array(count);
  for (let n = 0; n < count; n++) {
    const at = n * RECORD_BYTES;
    const label = bytes[at]!;
    if (label >= names.length)
      throw new Error(
        `parseCifar: expected label below ${names.length} in record ${n}, got ${label}; other classes are named in classes.txt`,
      );
    labels[n] = label;
    images.set(bytes.subarray(at + 1, at + RECORD_BYTES), n * IMAGE_BYTES);
  }
  return { images, labels, count, classes: names, shape: [...CIFAR_SHAPE] };
}

function classNames(count: number): string[] {
  if (!Number.isInteger(count)) throw new Error(`parseCifar: expected an integer class count, got ${count}`);
  if (count === CIFAR10_CLASSES.length) return [...CIFAR10_CLASSES];
  return Array.from({ length: Math.max(0, count) }, (_, k) => String(k));
}

/** The chosen images as CIFAR-10 records; `parseCifar` reads them back. */
export function writeCifar(set: ImageSet, indices: ArrayLike<number>): Uint8Array {
  if (String(set.shape) !== String(CIFAR_SHAPE)) throw new Error(`writeCifar: expected images [${CIFAR_SHAPE}], got [${set.shape}]`);
  const bytes = new Uint8Array(indices.length * RECORD_BYTES);
  for (let b = 0; b < indices.length; b++) {
    const n = checkIndex("writeCifar", indices[b]!, set.count);
    bytes[b * RECORD_BYTES] = set.labels[n]!;
    bytes.set(set.images.subarray(n * IMAGE_BYTES, (n + 1) * IMAGE_BYTES), b * RECORD_BYTES + 1);
  }
  return bytes;
}

/** A permutation of 0..n-1 (Fisher-Yates) fixed by (seed, epoch). */
export function epochOrder(n: number, seed: number, epoch: number): Uint32Array {
  checkCount("epochOrder", "n", n, 2 ** 32 - 1);
  checkCount("epochOrder", "epoch", epoch, MAX_EPOCH);
  const order = Uint32Array.from({ length: n }, (_, i) => i);
  const random = new Random(seed, SHUFFLE, epoch * 2 ** 32); // the epoch is the counter's second word
  for (let i = n - 1; i > 0; i--) {
    const j = random.int(i + 1);
    const kept = order[i]!;
    order[i] = order[j]!;
    order[j] = kept;
  }
  return order;
}

const MAX_EPOCH = 2 ** 19 - 1; // 2^34 draws each stay below 2^53

/** Whole batches in an epoch; the last, short one is dropped, as in the official training. */
export const stepsPerEpoch = (count: number, batchSize: number): number => Math.floor(count / batchSize);

/** The images and labels at `indices`: (B, channels, height, width) and (B). */
export function gather(set: ImageSet, indices: ArrayLike<number>): { images: Uint8Array; labels: Uint8Array } {
  const size = imageSize(set);
  const images = new Uint8Array(indices.length * size);
  const labels = new Uint8Array(indices.length);
  for (let b = 0; b < indices.length; b++) {
    const n = checkIndex("gather", indices[b]!, set.count);
    images.set(set.images.subarray(n * size, (n + 1) * size), b * size);
    labels[b] = set.labels[n]!;
  }
  return { images, labels };
}

/** `perClass` images of every class, chosen by `seed`, in ascending order. Throws where a class has too few. */
export function balancedSubset(set: ImageSet, perClass: number, seed: number): Uint32Array {
  checkCount("balancedSubset", "perClass", perClass, set.count);
  const random = new Random(seed, SUBSET);
  const chosen: number[] = [];
  for (let k = 0; k < set.classes.length; k++) {
    const members: number[] = [];
    for (let n = 0; n < set.count; n++) if (set.labels[n] === k) members.push(n);
    if (members.length < perClass) {
      throw new Error(`balancedSubset: expected ${perClass} images of class ${set.classes[k]}, got ${members.length}`);
    }
    for (let i = 0; i < perClass; i++) {
      const j = i + random.int(members.length - i);
      chosen.push(members[j]!);
      members[j] = members[i]!;
    }
  }
  return Uint32Array.from(chosen).sort();
}

const imageSize = ({ shape: [channels, height, width] }: ImageSet): number => channels * height * width;

function checkIndex(op: string, n: number, count: number): number {
  if (!Number.isInteger(n) || n < 0 || n >= count) throw new Error(`${op}: expected an index below ${count}, got ${n}`);
  return n;
}

function checkCount(op: string, name: string, value: number, max: number): void {
  if (!Number.isInteger(value) || value < 0 || value > max) {
    throw new Error(`${op}: expected ${name} to be an integer in [0, ${max}], got ${value}`);
  }
}

/**
 * IDX, the form of MNIST and Fashion-MNIST: two zero bytes, a type (8: unsigned bytes), the number of axes, their sizes as big-endian u32, then the
 * values. LeCun et al., http://yann.lecun.com/exdb/mnist; Xiao et al. 2017, https://arxiv.org/abs/1708.07747
 */
import type { ImageSet } from "./dataset.ts";

export const FASHION_MNIST_CLASSES: readonly string[] = [
  "T-shirt/top",
  "Trouser",
  "Pullover",
  "Dress",
  "Coat",
  "Sandal",
  "Shirt",
  "Sneaker",
  "Bag",
  "Ankle boot",
];
/** One IDX file: its axes, and its values as a view. */
export function parseIdx(bytes: Uint8Array, name: string): { shape: number[]; data: Uint8Array } {
  if (bytes.length < 4) throw new Error(`parseIdx: expected at least 4 bytes in ${name}, got ${bytes.length}`);
  if (bytes[0] !== 0 || bytes[1] !== 0)
    throw new Error(`parseIdx: expected two zero bytes at byte 0 of ${name}, got ${bytes[0]}, ${bytes[1]}`);
  if (bytes[2] !== 8) throw new Error(`parseIdx: expected type 8 (unsigned bytes) at byte 2 of ${name}, got ${bytes[2]}`);
  const axes = bytes[3]!;
  const header = 4 + 4 * axes;
  if (axes < 1 || axes > 4) throw new Error(`parseIdx: expected 1 to 4 axes at byte 3 of ${name}, got ${axes}`);
  if (bytes.length < header) throw new Error(`parseIdx: expected a header of ${header} bytes in ${name}, got a file of ${bytes.length}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const shape = Array.from({ length: axes }, (_, i) => view.getUint32(4 + 4 * i));
  const size = shape.reduce((a, b) => a * b, 1);
  if (bytes.length !== header + size)
    throw new Error(`parseIdx: expected ${header + size} bytes in ${name} (axes ${shape.join("x")}), got ${bytes.length}`);
  return { shape, data: bytes.subarray(header) };
}

export interface IdxFiles {
  readonly images: Uint8Array;
  readonly labels: Uint8Array;
  /** File names for errors. */
  readonly names: readonly [images: string, labels: string];
  /** Null: numbers up to the largest label, or `atLeast` of them. */
  readonly classes: readonly string[] | null;
  readonly atLeast?: number | undefined;
  /** Zero padding per side, in pixels; 2 makes 28x28 images 32x32. */
  readonly pad?: number;
}

/** Grey images (N, H, W) and labels (N) as RGB of equal channels. */
export function parseIdxImages({ images, labels, names, classes: named, atLeast = 0, pad = 0 }: IdxFiles): ImageSet {
  if (!Number.isInteger(pad) || pad < 0 || pad > 1024)
    throw new Error(`parseIdx: expected pad to be an integer from 0 to 1024, got ${pad}`);
  const grey = parseIdx(images, names[0]);
  const given = parseIdx(labels, names[1]);
  const [count, h, w] = grey.shape;
  if (grey.shape.length !== 3 || !count || !h || !w)
    throw new Error(`parseIdx: expected images (count, height, width) in ${names[0]}, got axes ${grey.shape.join("x")}`);
  if (given.shape.length !== 1 || given.shape[0] !== count)
    throw new Error(`parseIdx: expected ${count} labels in ${names[1]}, got axes ${given.shape.join("x")}`);
  const classes =
    named ??
    numbered(
      Math.max(
        atLeast,
        given.data.reduce((most, label) => Math.max(most, label + 1), 0),
      ),
    );
  const wrong = given.data.findIndex((label) => label >= classes.length);
  if (wrong !== -1)
    throw new Error(
      `parseIdx: expected a label below ${classes.length} in record ${wrong} of ${names[1]}, byte ${8 + wrong}, got ${given.data[wrong]}`,
    );
  const [height, width] = [h + 2 * pad, w + 2 * pad];
  if (count * 3 * height * width > MOST_BYTES)
    throw new Error(`parseIdx: expected at most ${MOST_BYTES} bytes of RGB images in ${names[0]}, got ${count} of ${height}x${width}`);
  const out = new Uint8Array(count * 3 * height * width);
  for (let row = 0; row < count * 3 * h; row++) {
    const [n, c, y] = [Math.floor(row / (3 * h)), Math.floor(row / h) % 3, row % h];
    const from = (n * h + y) * w;
    out.set(grey.data.subarray(from, from + w), ((n * 3 + c) * height + y + pad) * width + pad);
  }
  return { images: out, labels: given.data.slice(), count, classes: [...classes], shape: [3, height, width] };
}

/** "0", "1", … */
export const numbered = (count: number): string[] => Array.from({ length: count }, (_, k) => String(k));

/** The bytes of an IDX file; gzip is unpacked, up to the size that the header gives. */
export async function gunzip(bytes: Uint8Array<ArrayBuffer>, name: string): Promise<Uint8Array<ArrayBuffer>> {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  const reader = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip")).getReader();
  const chunks: Uint8Array[] = [];
  let length = 0;
  let most = Infinity;
  try {
    for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) {
      chunks.push(chunk.value);
      length += chunk.value.length;
      if (most === Infinity && length >= LONGEST_HEADER) most = announced(joined(chunks, length));
      if (length > most) break;
    }
  } catch (error) {
    throw new Error(`gunzip: expected whole gzip data in ${name}, got ${(error as Error).message || "a damaged file"}`);
  }
  if (length > most) {
    await reader.cancel().catch(() => undefined);
    throw new Error(`gunzip: expected the ${most} bytes that the header of ${name} announces, got more`);
  }
  return joined(chunks, length);
}

const LONGEST_HEADER = 4 + 4 * 4;
/** Most bytes of a set in memory. */
const MOST_BYTES = 2 ** 32;

/** Length in bytes of the IDX file with this header; of another file the header's length, so that `parseIdx` refuses it. */
function announced(start: Uint8Array): number {
  const axes = Math.min(start[3]!, 4);
  const view = new DataView(start.buffer, start.byteOffset);
  const size = Array.from({ length: axes }, (_, i) => view.getUint32(4 + 4 * i)).reduce((a, b) => a * b, 1);
  return Math.min(Math.max(4 + 4 * axes + size, LONGEST_HEADER), MOST_BYTES);
}

function joined(chunks: readonly Uint8Array[], length: number): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}

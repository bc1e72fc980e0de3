/**
 * Images to model inputs on the CPU, with Pillow's arithmetic to the bit (checked against Pillow 12.3): separable filters, the width
 * first with a byte result in between, then the height; weights quantised to 22 bits.
 */
import { antialiasedBands, BICUBIC, quantized, type Band, type Filter } from "../../kernels/shared/resample.ts";

/** Bytes (height, width, 3). */
export interface RgbImage {
  readonly height: number;
  readonly width: number;
  readonly data: Uint8Array;
}

/** A range of rows or columns of the result, starting at `from`. */
export interface Span {
  readonly from: number;
  readonly size: number;
}

const byte = (sum: number): number => Math.min(255, Math.max(0, sum >> 22));

/** The bands of `span` of an axis resized; `null` where it is to stay whole. */
function bandsOf(input: number, output: number, { from, size }: Span, filter: Filter): Band[] | null {
  if (input === output) return size === input ? null : Array.from({ length: size }, (_, i) => ({ from: from + i, weights: [2 ** 22] }));
  return quantized(antialiasedBands(input, output, filter, from, size));
}

/** Resizes rows `top` to `bottom` (excluded) of an image along the width. */
function resizeWidth({ width, data }: RgbImage, bands: readonly Band[], top: number, bottom: number): RgbImage {
  const W = bands.length;
  const out = new Uint8Array(3 * (bottom - top) * W);
  for (let x = 0; x < W; x++) {
    const { from, weights } = bands[x]!;
    for (let y = top; y < bottom; y++) {
      let r = 1 << 21,
        g = r,
        b = r;
      for (let k = 0, at = 3 * (y * width + from); k < weights.length; k++, at += 3) {
        const w = weights[k]!;
        r += w * data[at]!;
        g += w * data[at + 1]!;
        b += w * data[at + 2]!;
      }
      const at = 3 * ((y - top) * W + x);
      out[at] = byte(r);
      out[at + 1] = byte(g);
      out[at + 2] = byte(b);
    }
  }
  return { height: bottom - top, width: W, data: out };
}

/** Resizes along the height; `bands` count rows from `top` on. */
function resizeHeight({ width, data }: RgbImage, bands: readonly Band[], top: number): RgbImage {
  const row = 3 * width;
  const out = new Uint8Array(bands.length * row);
  const sums = new Int32Array(row);
  bands.forEach(({ from, weights }, y) => {
    sums.fill(1 << 21);
    weights.forEach((w, k) => {
      const at = (from - top + k) * row;
      for (let i = 0; i < row; i++) sums[i]! += w * data[at + i]!;
    });
    for (let i = 0; i < row; i++) out[y * row + i] = byte(sums[i]!);
  });
  return { height: bands.length, width, data: out };
}

/** Pillow's resize to height x width; of the result only the rows and columns asked for, and only those are computed. */
export function resize(
  image: RgbImage,
  height: number,
  width: number,
  filter: Filter,
  rows: Span = { from: 0, size: height },
  columns: Span = { from: 0, size: width },
): RgbImage {
  const across = bandsOf(image.width, width, columns, filter);
  const down = bandsOf(image.height, height, rows, filter);
  const top = down ? down[0]!.from : 0;
  const bottom = down ? Math.max(...down.map((b) => b.from + b.weights.length)) : image.height;
  const wide = across
    ? resizeWidth(image, across, top, bottom)
    : { ...image, data: image.data.subarray(3 * top * image.width, 3 * bottom * image.width) };
  if (down) return resizeHeight(wide, down, top);
  return wide;
}

/** Pillow's bicubic resize; a pass is skipped where that size does not change. */
export function resizeBicubic(image: RgbImage, height: number, width: number): RgbImage {
  for (const [name, v] of [
    ["height", height],
    ["width", width],
  ] as const) {
    if (!Number.isInteger(v) || v < 1) throw new Error(`resizeBicubic: expected a positive integer ${name}, got ${v}`);
  }
  checkImage("resizeBicubic", image);
  return height === image.height && width === image.width ? image : resize(image, height, width, BICUBIC);
}

export function checkImage(what: string, { height, width, data }: RgbImage): void {
  if (!(height >= 1 && width >= 1)) throw new Error(`${what}: expected an image of at least one pixel, got ${height}x${width}`);
  if (data.length !== 3 * height * width)
    throw new Error(`${what}: expected ${3 * height * width} bytes for ${height}x${width} RGB, got ${data.length}`);
}

/** Python's round: halves to even. */
export const roundHalfEven = (v: number): number => (v % 1 === 0.5 && Math.floor(v) % 2 === 0 ? Math.floor(v) : Math.round(v));

/** The middle `size` of `whole`, as torchvision finds it. */
export const middle = (whole: number, size: number): Span => ({ from: roundHalfEven((whole - size) / 2), size });

/** The middle `size` x `size` pixels. */
export function centerCrop({ height, width, data }: RgbImage, size: number): RgbImage {
  if (size > height || size > width) throw new Error(`centerCrop: expected an image of at least ${size}x${size}, got ${height}x${width}`);
  const [top, left] = [middle(height, size).from, middle(width, size).from];
  const out = new Uint8Array(3 * size * size);
  for (let y = 0; y < size; y++) {
    const at = 3 * ((top + y) * width + left);
    out.set(data.subarray(at, at + 3 * size), 3 * y * size);
  }
  return { height: size, width: size, data: out };
}

/** A side of an image whose short side becomes `to` pixels. */
export const resizedSide = (side: number, short: number, to: number): number => Math.trunc((to * side) / short);

/** The short side to `short` pixels, then the middle `size` x `size`, as torchvision's Resize and CenterCrop; only what that needs is computed. */
export function resizeShort(image: RgbImage, short: number, size: number, filter: Filter = BICUBIC): RgbImage {
  checkImage("resize", image);
  const { height: H, width: W } = image;
  const long = resizedSide(Math.max(H, W), Math.min(H, W), short);
  const [height, width] = H < W ? [short, long] : [long, short];
  return resize(image, height, width, filter, middle(height, size), middle(width, size));
}

/** (height, width, 3) to (3, height, width). */
export function toPlanes({ height, width, data }: RgbImage): Uint8Array {
  const n = height * width;
  const out = new Uint8Array(3 * n);
  for (let i = 0; i < n; i++) for (let c = 0; c < 3; c++) out[c * n + i] = data[3 * i + c]!;
  return out;
}

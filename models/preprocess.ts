/**
 * Images to model inputs on the CPU, with Pillow's arithmetic to the bit.
 *
 * Bicubic resize as Pillow's `Image.resize(BICUBIC)` does it on bytes: separable, horizontal pass first with a byte result in
 * between, antialiased when shrinking, a = -0.5, weights quantised to 22 bits. (Behaviour checked against Pillow 12.3.)
 */

/** Bytes (height, width, 3). */
export interface RgbImage {
  readonly height: number;
  readonly width: number;
  readonly data: Uint8Array;
}

const PRECISION = 22;

const cubic = (t: number): number => {
  const x = Math.abs(t);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0;
};

interface Taps {
  readonly from: number;
  readonly weights: Int32Array;
}

/** For each output pixel, the input pixels it is made of and their weights in units of 2^-22. */
function taps(input: number, output: number): Taps[] {
  const scale = input / output;
  const filter = Math.max(scale, 1);
  const support = 2 * filter;
  return Array.from({ length: output }, (_, i) => {
    const center = (i + 0.5) * scale;
    const from = Math.max(0, Math.trunc(center - support + 0.5));
    const to = Math.min(input, Math.trunc(center + support + 0.5));
    const w = Array.from({ length: to - from }, (_, k) => cubic((from + k - center + 0.5) / filter));
    const sum = w.reduce((a, b) => a + b, 0);
    return { from, weights: Int32Array.from(w, (v) => Math.trunc((v / sum) * 2 ** PRECISION + (v < 0 ? -0.5 : 0.5))) };
  });
}

/** `axis` 0 resizes the height, 1 the width. */
function resizeAxis({ height, width, data }: RgbImage, axis: 0 | 1, size: number): RgbImage {
  const [H, W] = axis === 0 ? [size, width] : [height, size];
  const step = axis === 0 ? 3 * width : 3;
  const out = new Uint8Array(3 * H * W);
  const all = taps(axis === 0 ? height : width, size);
  for (let y = 0; y < H; y++) {
    for (let x = 0; x < W; x++) {
      const { from, weights } = all[axis === 0 ? y : x]!;
      const base = axis === 0 ? 3 * (from * width + x) : 3 * (y * width + from);
      for (let c = 0; c < 3; c++) {
        let sum = 1 << (PRECISION - 1);
        for (let k = 0; k < weights.length; k++) sum += weights[k]! * data[base + k * step + c]!;
        out[3 * (y * W + x) + c] = Math.min(255, Math.max(0, sum >> PRECISION));
      }
    }
  }
  return { height: H, width: W, data: out };
}

/** Pillow's bicubic resize; a pass is skipped where that size does not change. */
export function resizeBicubic(image: RgbImage, height: number, width: number): RgbImage {
  for (const [name, v] of [["height", height], ["width", width]] as const) {
    if (!Number.isInteger(v) || v < 1) throw new Error(`resizeBicubic: expected a positive integer ${name}, got ${v}`);
  }
  if (image.data.length !== 3 * image.height * image.width) {
    throw new Error(`resizeBicubic: expected ${3 * image.height * image.width} bytes for ${image.height}x${image.width} RGB, got ${image.data.length}`);
  }
  const wide = width === image.width ? image : resizeAxis(image, 1, width);
  return height === wide.height ? wide : resizeAxis(wide, 0, height);
}

/** Python's round: halves to even. */
export const roundHalfEven = (v: number): number => (v % 1 === 0.5 && Math.floor(v) % 2 === 0 ? Math.floor(v) : Math.round(v));

/** The middle `size` x `size` pixels. */
export function centerCrop({ height, width, data }: RgbImage, size: number): RgbImage {
  if (size > height || size > width) throw new Error(`centerCrop: expected an image of at least ${size}x${size}, got ${height}x${width}`);
  const top = roundHalfEven((height - size) / 2);
  const left = roundHalfEven((width - size) / 2);
  const out = new Uint8Array(3 * size * size);
  for (let y = 0; y < size; y++) {
    const at = 3 * ((top + y) * width + left);
    out.set(data.subarray(at, at + 3 * size), 3 * y * size);
  }
  return { height: size, width: size, data: out };
}

/** The official evaluation: the short side to size / cropPct, then the centre. Returns bytes (3, size, size). */
export function evalTransform(image: RgbImage, size: number, cropPct: number): Uint8Array {
  const short = Math.trunc(size / cropPct);
  const { height: H, width: W } = image;
  const [height, width] = H < W ? [short, Math.trunc((short * W) / H)] : [Math.trunc((short * H) / W), short];
  return toPlanes(centerCrop(resizeBicubic(image, height, width), size));
}

/** (height, width, 3) to (3, height, width). */
export function toPlanes({ height, width, data }: RgbImage): Uint8Array {
  const n = height * width;
  const out = new Uint8Array(3 * n);
  for (let i = 0; i < n; i++) for (let c = 0; c < 3; c++) out[c * n + i] = data[3 * i + c]!;
  return out;
}

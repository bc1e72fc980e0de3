/**
 * Crop, padding, resize and flip of a batch of images in one launch, bit-equal to Pillow.
 *
 *   y[i, j] = B(sum over k of down_i[k] B(sum over l of across_j[l] x[i_0 + k, j_0 + l])),   B(s) = clamp((2^21 + s) >> 22, 0, 255)
 *
 * Every axis of every image comes as bands: which run of source rows (columns) an output row (column) is made of, with weights in units of
 * 2^-22. A crop is bands of one weight, padding with zeros an empty band, a flip the bands in reverse. Both passes are in one kernel, the
 * width first and rounded to a byte, as `resizeBicubic` in two. https://pillow.readthedocs.io/en/stable/handbook/concepts.html#filters
 */
import { defineKernel, kernelFamily } from "../../engine/kernel.ts";
import { show } from "../../engine/shape.ts";
import type { Tensor } from "../../engine/tensor.ts";
import { pixelWgsl } from "./records.ts";
import type { Band } from "../shared/resample.ts";

const WG = 64;
/** Words of one band besides its weights: the first source index, and how many weights. */
const HEAD = 2;
/** Words of one source: where it begins in `x`, height, width. */
const SOURCE = 3;

/** Where a source lies. */
export interface SourcePlace {
  /** In elements of x: bytes, or pixels. */
  readonly offset: number;
  readonly height: number;
  readonly width: number;
}

export const encodeSources = (places: readonly SourcePlace[]): Uint32Array =>
  Uint32Array.from(places.flatMap(({ offset, height, width }) => [offset, height, width]));

/** Bands of one image: for each output row, then each output column. `out` are the image's (H + W) * (2 + taps) words. */
export function encodeBands(out: Int32Array, taps: number, bands: readonly Band[]): void {
  bands.forEach(({ from, weights }, i) => {
    if (weights.length > taps) throw new Error(`augmentCrop: expected bands of at most ${taps} weights, got ${weights.length}`);
    out.set([from, weights.length, ...weights], i * (HEAD + taps));
  });
}

// One thread per output pixel. "planes": bytes (3, h, w) of each source; "pixels": words.
const kernel = kernelFamily(({ layout }: { layout: "planes" | "pixels" }) =>
  defineKernel({
    name: "augmentCrop",
    inputs: { x: "u32", sources: "u32", bands: "i32" }, // (any), (B, 3), (B, H + W, 2 + taps)
    outputs: { y: "u32" }, // (B, H, W)
    params: { n: "u32", height: "u32", width: "u32", band: "u32" },
    workgroup: WG,
    helpers:
      layout === "pixels"
        ? `${pixelWgsl}fn load(at: u32, plane: u32) -> vec3i { return vec3i(unpack(x[at])); }`
        : `${pixelWgsl}fn byte(at: u32) -> i32 { return i32((x[at / 4u] >> (8u * (at % 4u))) & 0xffu); }
fn load(at: u32, plane: u32) -> vec3i { return vec3i(byte(at), byte(at + plane), byte(at + 2u * plane)); }`,
    code: /* wgsl */ `
    let i = group * WG + li;
    if (i >= p.n) { return; }
    let area = p.height * p.width;
    let image = i / area;
    let first = sources[${SOURCE}u * image];
    let w = sources[${SOURCE}u * image + 2u];
    let plane = sources[${SOURCE}u * image + 1u] * w;
    let axes = image * (p.height + p.width) * p.band;
    let down = axes + i % area / p.width * p.band;
    let across = axes + (p.height + i % p.width) * p.band;
    let left = first + u32(bands[across]);
    let rows = u32(bands[down + 1u]);
    let columns = u32(bands[across + 1u]);
    var total = vec3i(${1 << 21});
    for (var k = 0u; k < rows; k++) {
      let row = left + (u32(bands[down]) + k) * w;
      var sum = vec3i(${1 << 21});
      for (var l = 0u; l < columns; l++) { sum += bands[across + ${HEAD}u + l] * load(row + l, plane); }
      total += bands[down + ${HEAD}u + k] * clamp(sum >> vec3u(22u), vec3i(0), vec3i(255));
    }
    y[i] = pack(vec3u(clamp(total >> vec3u(22u), vec3i(0), vec3i(255))));`,
  }),
);

interface CropOptions {
  /** u32 (B, 3) from `encodeSources`. */
  readonly sources: Tensor;
  /** i32 (B, height + width, 2 + taps), each image from `encodeBands`. */
  readonly bands: Tensor;
  readonly height: number;
  readonly width: number;
}

/** x: u8, images (3, h, w) one after the other; or u32, pixels (h, w). Returns pixels u32 (B, height, width). */
export function augmentCrop(x: Tensor, { sources, bands, height, width }: CropOptions): Tensor {
  const B = sources.shape[0]!;
  if (x.dtype !== "u8" && x.dtype !== "u32")
    throw new Error(`augmentCrop: expected u8 images or u32 pixels, got ${x.dtype} ${show(x.shape)}`);
  const [images, axes, band = 0] = bands.shape;
  if (bands.dtype !== "i32" || images !== B || axes !== height + width || band <= HEAD) {
    throw new Error(`augmentCrop: expected i32 bands [${B},${height + width},2 + taps], got ${bands.dtype} ${show(bands.shape)}`);
  }
  const n = B * height * width;
  return kernel({ layout: x.dtype === "u8" ? "planes" : "pixels" })({
    inputs: { x, sources, bands },
    outputs: { y: [B, height, width] },
    params: { n, height, width, band },
    threads: n,
  }).y;
}

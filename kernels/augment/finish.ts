/**
 * Pixels to a model's input, with boxes erased: y = (byte / 255 - mean[c]) / std[c], and inside a box normal noise or zero. As images, or
 * straight in the layout of their patches.
 *
 * Noise is the box's own: element e of the box, counted channel by channel and row by row, is draws 2e and 2e + 1 of Philox with key (seed,
 * "nois"), as `Random.normal` takes them; in mode "rand" e is the channel. Later boxes lie over earlier ones. Zhong et al. 2017,
 * https://arxiv.org/abs/1708.04896
 */
import { defineKernel, kernelFamily } from "../../engine/kernel.ts";
import { philoxWgsl } from "../shared/random.ts";
import { show } from "../../engine/shape.ts";
import type { Tensor } from "../../engine/tensor.ts";
import { patchShape, patchSizes, pixelInPatches, type PatchSizes } from "../shared/patches.ts";

const WG = 64;
/** Words of one box: top, left, height, width, mode, seed. */
const BOX = 6;
export const ERASE_MODES = ["const", "rand", "pixel"] as const;
export const ERASE_NOISE = 0x6e6f6973; // "nois"

/** A box to erase, and its noise. */
export interface ErasedBox {
  readonly top: number;
  readonly left: number;
  readonly height: number;
  readonly width: number;
  readonly mode: (typeof ERASE_MODES)[number];
  readonly seed: number;
}

/** u32 (B, 1 + 6 most): how many boxes, then the boxes. */
export function encodeErasing(images: readonly (readonly ErasedBox[])[], most: number): Uint32Array {
  const stride = 1 + BOX * most;
  const words = new Uint32Array(images.length * stride);
  images.forEach((boxes, b) => {
    if (boxes.length > most) throw new Error(`augmentFinish: expected at most ${most} boxes in an image, got ${boxes.length}`);
    words[b * stride] = boxes.length;
    boxes.forEach((box, k) =>
      words.set([box.top, box.left, box.height, box.width, ERASE_MODES.indexOf(box.mode), box.seed], b * stride + 1 + BOX * k),
    );
  });
  return words;
}

const list = (values: readonly number[]): string => `array<f32, 3>(${values.map((v) => v.toExponential()).join(", ")})`;

// One thread per pixel: three elements, of three planes.
const kernel = kernelFamily(({ mean, std, patches }: { mean: readonly number[]; std: readonly number[]; patches: PatchSizes | null }) =>
  defineKernel({
    name: "augmentFinish",
    inputs: { x: "u32", boxes: "u32" }, // (B, H, W), (B, 1 + 6 most)
    outputs: { y: "f32" }, // (B, 3, H, W), or (B, P, 3 p p)
    params: { n: "u32", area: "u32", width: "u32", stride: "u32" },
    workgroup: WG,
    helpers: /* wgsl */ `${philoxWgsl}
fn normal(e: u32, seed: u32) -> f32 {
  let block = philox(vec4u(e / 2u, 0u, 0u, 0u), vec2u(seed, ${ERASE_NOISE}u));
  let u = select(block.xy, block.zw, e % 2u == 1u);
  // Near 1 the logarithm is taken from what is missing to 1, which f32 has exactly.
  let missing = f32(~u.x) * ${2 ** -32};
  let near = missing * (1.0 + missing * (0.5 + missing * (1.0 / 3.0 + 0.25 * missing)));
  let far = -log((f32(u.x) + 1.0) * ${2 ** -32});
  // cos(2 pi t) = sin(2 pi (1/4 - |t|)) by its series to 6e-8: WGSL lets the built-in be off by 2^-11.
  let z = 6.283185307179586 * (0.25 - abs(f32(bitcast<i32>(u.y)) * ${2 ** -32}));
  let q = z * z;
  let cosine = z * (1.0 - q / 6.0 * (1.0 - q / 20.0 * (1.0 - q / 42.0 * (1.0 - q / 72.0 * (1.0 - q / 110.0)))));
  return sqrt(2.0 * select(far, near, missing < 0.015625)) * cosine;
}`,
    code: /* wgsl */ `
    let i = group * WG + li;
    if (i >= p.n) { return; }
    // A product and a sum: a division by a constant is far less exact on some adapters.
    var scales = ${list(std.map((s) => 1 / (255 * s)))};
    var shifts = ${list(std.map((s, c) => -mean[c]! / s))};
    let b = i / p.area;
    let row = i % p.area / p.width;
    let column = i % p.width;
    let count = boxes[b * p.stride];
    var hit = 0u; // the last box that holds the pixel
    for (var k = 0u; k < count; k++) {
      let at = b * p.stride + 1u + ${BOX}u * k;
      // Below the top or left the difference wraps and is larger than any side.
      if (row - boxes[at] < boxes[at + 2u] && column - boxes[at + 1u] < boxes[at + 3u]) { hit = at; }
    }
    for (var c = 0u; c < 3u; c++) {
      var v = f32((x[i] >> (8u * c)) & 0xffu) * scales[c] + shifts[c];
      if (hit > 0u) {
        let mode = boxes[hit + 4u];
        let e = (c * boxes[hit + 2u] + row - boxes[hit]) * boxes[hit + 3u] + column - boxes[hit + 1u];
        v = 0.0;
        if (mode > 0u) { v = normal(select(c, e, mode == 2u), boxes[hit + 5u]); }
      }
      y[${patches ? `b * 3u * p.area + ${pixelInPatches(patches, "c", "row", "column")}` : "(b * 3u + c) * p.area + i % p.area"}] = v;
    }`,
  }),
);

export interface FinishOptions {
  /** Per channel, of values in [0, 1]. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
  /** Side of the patches whose layout the result has. */
  readonly patch?: number | undefined;
}

/**
 * x: pixels u32 (B, H, W); boxes: u32 from `encodeErasing`.
 * Returns f32 (B, 3, H, W), or with `patch` p (B, P, 3 p p), P = (H / p) (W / p).
 */
export function augmentFinish(x: Tensor, boxes: Tensor, { mean, std, patch }: FinishOptions): Tensor {
  const [B = 0, height = 0, width = 0] = x.shape;
  if (x.dtype !== "u32" || x.shape.length !== 3)
    throw new Error(`augmentFinish: expected u32 pixels [B,H,W], got ${x.dtype} ${show(x.shape)}`);
  if (boxes.dtype !== "u32" || boxes.shape[0] !== B || (boxes.shape[1]! - 1) % BOX !== 0)
    throw new Error(`augmentFinish: expected u32 boxes [${B},1 + 6 n], got ${boxes.dtype} ${show(boxes.shape)}`);
  if (mean.length !== 3 || std.length !== 3 || !mean.every(Number.isFinite) || !std.every((s) => s > 0)) {
    throw new Error(`augmentFinish: expected 3 means and 3 positive deviations, got ${show(mean)} and ${show(std)}`);
  }
  const n = x.size;
  const patches = patch === undefined ? null : patchSizes("augmentFinish", 3, height, width, patch);
  return kernel({ mean: [...mean], std: [...std], patches })({
    inputs: { x, boxes },
    outputs: { y: patches ? patchShape(B, patches) : [B, 3, height, width] },
    params: { n, area: height * width, width, stride: boxes.shape[1]! },
    threads: n,
  }).y;
}

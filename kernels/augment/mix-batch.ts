/**
 * Mixup and CutMix of a whole batch in one launch, each image by its own record; and the mixed labels.
 *
 *   y_b = x_c inside b's box;  lam_b x_b + (1 - lam_b) x_c outside
 *   t_b = share_b s(l_b) + (1 - share_b) s(l_c),   s(l) = (1 - e) onehot(l) + e / K
 *
 * c is b's partner: of every M images in a row the first and the last, the second and the last but one, and so on; M = B unless a batch has
 * several parts that are mixed each on its own. Images may come in the layout of their patches, and leave in it. Batch, pair and element
 * modes differ in the records alone. Inputs of a model: no gradient flows back.
 * Zhang et al. 2018, https://arxiv.org/abs/1710.09412; Yun et al. 2019, https://arxiv.org/abs/1905.04899
 */
import { defineKernel, kernelFamily, type Elem } from "../../engine/kernel.ts";
import { show } from "../../engine/shape.ts";
import type { Tensor } from "../../engine/tensor.ts";
import { columnOfPatches, rowOfPatches, sizesOfPatches, type PatchSizes } from "../shared/patches.ts";

/** How one image is mixed. */
export interface MixRecord {
  /** The image's own share outside the box. */
  readonly lam: number;
  /** Its own label's share. */
  readonly share: number;
  /** y0, y1, x0, x1; ends excluded. Empty for mixup. */
  readonly box: readonly [number, number, number, number];
}

/** Words of one image's record: lam and share as f32 bits, then the box. */
const WORDS = 6;
const WG = 64;

/** The content of `records`, u32 (B, 6). */
export function encodeMix(records: readonly MixRecord[]): Uint32Array {
  const words = new Uint32Array(WORDS * records.length);
  const floats = new Float32Array(words.buffer);
  records.forEach(({ lam, share, box }, b) => {
    floats[WORDS * b] = lam;
    floats[WORDS * b + 1] = share;
    words.set(box, WORDS * b + 2);
  });
  return words;
}

// One thread per unit of one or four elements of a row.
const imagesKernel = kernelFamily(({ width, patches }: { width: 1 | 4; patches: PatchSizes | null }) =>
  defineKernel({
    name: "mixImages",
    inputs: { x: (width === 4 ? "vec4f" : "f32") as Elem, records: "u32" }, // (B, C, H, W) or (B, P, C p p), (B, 6)
    outputs: { y: (width === 4 ? "vec4f" : "f32") as Elem }, // as x
    constants: { WORDS: "u32", UNIT: "u32", H: "u32", ROW: "u32" }, // units in a row
    params: { n: "u32", per: "u32", group_size: "u32" },
    workgroup: WG,
    code: /* wgsl */ `
    let i = group * WG + li;
    if (i >= p.n) { return; }
    let b = i / p.per;
    let r = WORDS * b;
    let lam = bitcast<f32>(records[r]);
    let own = x[i];
    let other = x[i + p.per * (p.group_size - 1u) - 2u * p.per * (b % p.group_size)];
    ${patches ? `let e = UNIT * (i % p.per); let row = ${rowOfPatches(patches, "e")};` : "let row = (i / ROW) % H;"}
    let column = ${patches ? columnOfPatches(patches, "e") : "UNIT * (i % ROW)"}${width === 4 ? " + vec4u(0u, 1u, 2u, 3u)" : ""};
    let rows = row >= records[r + 2u] && row < records[r + 3u];
    let inside = ${
      width === 4
        ? "(column >= vec4u(records[r + 4u])) & (column < vec4u(records[r + 5u])) & vec4<bool>(rows)"
        : "rows && column >= records[r + 4u] && column < records[r + 5u]"
    };
    y[i] = select(lam * own + (1.0 - lam) * other, other, inside);`,
  }),
);

interface MixOptions {
  /** Images that are mixed among each other, the first with the last and so on; all of them unless given. */
  readonly groupSize?: number | undefined;
}

/**
 * x: f32 (B, C, H, W), or with `patch` p square images as (B, P, C p p); records: u32 (B, 6) from `encodeMix`. Returns the same layout as
 * x.
 */
export function mixImages(
  x: Tensor,
  records: Tensor,
  { groupSize = x.shape[0]!, patch }: MixOptions & { readonly patch?: number | undefined } = {},
): Tensor {
  const patches = patch === undefined ? null : sizesOfPatches("mixImages", x.shape, patch);
  if ((!patches && x.shape.length !== 4) || x.requiresGrad)
    throw new Error(`mixImages: expected images [B,C,H,W] without gradient, got ${show(x.shape)}${x.requiresGrad ? " with" : ""}`);
  checkRecords("mixImages", records, x.shape[0]!, groupSize);
  const [B] = x.shape as [number];
  const [H, W] = patches ? [patches.H, patches.W] : (x.shape.slice(2) as [number, number]);
  const width = (patch ?? W) % 4 === 0 ? 4 : 1;
  const n = x.size / width;
  return imagesKernel({ width, patches })({
    inputs: { x, records },
    outputs: { y: x.shape },
    constants: { WORDS, UNIT: width, H, ROW: W / width },
    params: { n, per: n / B, group_size: groupSize },
    threads: n,
  }).y;
}

// One thread per target.
const targetsKernel = defineKernel({
  name: "mixLabels",
  inputs: { labels: "u32", records: "u32" }, // (B), (B, 6)
  outputs: { y: "f32" }, // (B, K)
  constants: { WORDS: "u32", K: "u32" },
  params: { B: "u32", group_size: "u32", on: "f32", off: "f32" },
  workgroup: WG,
  code: /* wgsl */ `
    let i = group * WG + li;
    if (i >= p.B * K) { return; }
    let b = i / K;
    let k = i % K;
    let share = bitcast<f32>(records[WORDS * b + 1u]);
    y[i] = share * select(p.off, p.on, labels[b] == k) + (1.0 - share) * select(p.off, p.on, labels[b + p.group_size - 1u - 2u * (b % p.group_size)] == k);`,
});

/** labels: u32 (B) below `classes`; records as of `mixImages`. Returns (B, classes) probabilities. */
export function mixLabels(
  labels: Tensor,
  records: Tensor,
  { classes, smoothing, groupSize = labels.shape[0]! }: MixOptions & { readonly classes: number; readonly smoothing: number },
): Tensor {
  if (labels.shape.length !== 1 || labels.dtype !== "u32")
    throw new Error(`mixLabels: expected u32 labels [B], got ${labels.dtype} ${show(labels.shape)}`);
  if (!Number.isInteger(classes) || classes < 1) throw new Error(`mixLabels: expected a positive number of classes, got ${classes}`);
  if (!(smoothing >= 0 && smoothing <= 1)) throw new Error(`mixLabels: expected smoothing in [0, 1], got ${smoothing}`);
  const B = labels.size;
  checkRecords("mixLabels", records, B, groupSize);
  const off = smoothing / classes;
  return targetsKernel({
    inputs: { labels, records },
    outputs: { y: [B, classes] },
    constants: { WORDS, K: classes },
    params: { B, group_size: groupSize, on: 1 - smoothing + off, off },
    threads: B * classes,
  }).y;
}

function checkRecords(op: string, records: Tensor, B: number, groupSize: number): void {
  if (!Number.isInteger(groupSize) || groupSize < 1 || B % groupSize !== 0)
    throw new Error(`${op}: expected a groupSize that divides ${B} images, got ${groupSize}`);
  if (records.dtype !== "u32" || String(records.shape) !== String([B, WORDS]))
    throw new Error(`${op}: expected u32 records [${B},${WORDS}], got ${records.dtype} ${show(records.shape)}`);
}

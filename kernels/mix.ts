/**
 * Mixes a batch with itself in reverse order, as DeiT's mixup and CutMix do, and mixes the labels.
 *
 *   mixup:  y_b = lam x_b + (1 - lam) x_{B-1-b}
 *   cutmix: y_b = x_{B-1-b} inside the box, x_b outside
 *   labels: t_b = lam s(l_b) + (1 - lam) s(l_{B-1-b}),   s(l) = (1 - e) onehot(l) + e / K
 *
 * Zhang et al. 2018, https://arxiv.org/abs/1710.09412; Yun et al. 2019, https://arxiv.org/abs/1905.04899
 */
import { defineOp } from "../engine/autograd.ts";
import { defineKernel, kernelFamily, type Elem } from "../engine/kernel.ts";
import type { Scalar } from "./shared/scalars.ts";
import { show } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";
import { typeOf, widthFor } from "./shared/width.ts";

const WG = 64;

// One thread per unit of one or four elements. The map is its own transpose, so it also carries gradients.
const mixupKernel = kernelFamily(({ elem }: { elem: Elem }) =>
  defineKernel({
    name: "mixup",
    inputs: { x: elem, scalars: "u32" }, // (B, PER), (any)
    outputs: { y: elem }, // (B, PER)
    constants: { AT: "u32" },
    params: { n: "u32", per: "u32" },
    workgroup: WG,
    code: /* wgsl */ `
    let i = group * WG + li;
    if (i >= p.n) { return; }
    let lam = bitcast<f32>(scalars[AT]);
    let partner = p.n - p.per - i + 2u * (i % p.per);
    y[i] = lam * x[i] + (1.0 - lam) * x[partner];`,
  }),
);

function mixed(x: Tensor, lam: Scalar): Tensor {
  const per = x.size / x.shape[0]!;
  const width = widthFor(per);
  const n = x.size / width;
  return mixupKernel({ elem: typeOf(width) })({
    inputs: { x, scalars: lam.tensor },
    outputs: { y: x.shape },
    constants: { AT: lam.at },
    params: { n, per: per / width },
    threads: n,
  }).y;
}

const mixupOp = defineOp({
  name: "mixup",
  forward: ([x]: [Tensor], { lam }: { lam: Scalar }) => ({ y: mixed(x, lam), saved: null }),
  backward: (dy, _, __, { lam }) => [mixed(dy, lam)],
});

// One thread per element. As its own transpose: inside the box gradients go to the partner.
const cutmixKernel = defineKernel({
  name: "cutmix",
  inputs: { x: "f32", scalars: "u32" }, // (B, C, H, W), (any): y0, y1, x0, x1 from AT
  outputs: { y: "f32" }, // (B, C, H, W)
  constants: { AT: "u32", H: "u32", W: "u32" },
  params: { n: "u32", per: "u32" },
  workgroup: WG,
  code: /* wgsl */ `
    let i = group * WG + li;
    if (i >= p.n) { return; }
    let row = (i / W) % H;
    let column = i % W;
    let inside = row >= scalars[AT] && row < scalars[AT + 1u] && column >= scalars[AT + 2u] && column < scalars[AT + 3u];
    let partner = p.n - p.per - i + 2u * (i % p.per);
    y[i] = x[select(i, partner, inside)];`,
});

const cut = (x: Tensor, box: Scalar): Tensor =>
  cutmixKernel({
    inputs: { x, scalars: box.tensor },
    outputs: { y: x.shape },
    constants: { AT: box.at, H: x.shape[2]!, W: x.shape[3]! },
    params: { n: x.size, per: x.size / x.shape[0]! },
    threads: x.size,
  }).y;

const cutmixOp = defineOp({
  name: "cutmix",
  forward: ([x]: [Tensor], { box }: { box: Scalar }) => ({ y: cut(x, box), saved: null }),
  backward: (dy, _, __, { box }) => [cut(dy, box)],
});

/** x: (B, ...); lam: f32. */
export function mixup(x: Tensor, { lam }: { readonly lam: Scalar }): Tensor {
  if (x.shape.length < 1) throw new Error(`mixup: expected [B,..], got ${show(x.shape)}`);
  return mixupOp([x], { lam });
}

/** x: (B, C, H, W); box: where four u32 y0, y1, x0, x1 (ends excluded) begin. */
export function cutmix(x: Tensor, { box }: { readonly box: Scalar }): Tensor {
  if (x.shape.length !== 4) throw new Error(`cutmix: expected [B,C,H,W], got ${show(x.shape)}`);
  if (box.at + 4 > box.tensor.size)
    throw new Error(`cutmix: expected a box of four numbers from ${box.at} on, got a tensor of ${box.tensor.size}`);
  return cutmixOp([x], { box });
}

// One thread per target.
const targetsKernel = defineKernel({
  name: "mixTargets",
  inputs: { labels: "u32", scalars: "u32" }, // (B), (any)
  outputs: { y: "f32" }, // (B, K)
  constants: { AT: "u32", K: "u32" },
  params: { B: "u32", on: "f32", off: "f32" },
  workgroup: WG,
  code: /* wgsl */ `
    let i = group * WG + li;
    if (i >= p.B * K) { return; }
    let b = i / K;
    let k = i % K;
    let lam = bitcast<f32>(scalars[AT]);
    y[i] = lam * select(p.off, p.on, labels[b] == k) + (1.0 - lam) * select(p.off, p.on, labels[p.B - 1u - b] == k);`,
});

/** labels: u32 (B) below `classes`; lam: f32. Returns (B, classes) probabilities. */
export function mixTargets(
  labels: Tensor,
  { classes, lam, smoothing }: { readonly classes: number; readonly lam: Scalar; readonly smoothing: number },
): Tensor {
  if (labels.shape.length !== 1 || labels.dtype !== "u32")
    throw new Error(`mixTargets: expected u32 labels [B], got ${labels.dtype} ${show(labels.shape)}`);
  if (!Number.isInteger(classes) || classes < 1) throw new Error(`mixTargets: expected a positive number of classes, got ${classes}`);
  if (!(smoothing >= 0 && smoothing <= 1)) throw new Error(`mixTargets: expected smoothing in [0, 1], got ${smoothing}`);
  const B = labels.size;
  const off = smoothing / classes;
  return targetsKernel({
    inputs: { labels, scalars: lam.tensor },
    outputs: { y: [B, classes] },
    constants: { AT: lam.at, K: classes },
    params: { B, on: 1 - smoothing + off, off },
    threads: B * classes,
  }).y;
}

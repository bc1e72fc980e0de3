/**
 * Global average pooling: the mean of each channel of an image.
 *
 *   y[b,c] = mean over p of x[b,c,p]     dx[b,c,p] = dy[b,c] / P
 *
 * Lin et al. 2013, "Network in network", https://arxiv.org/abs/1312.4400
 */
import { defineOp } from "../engine/autograd.ts";
import { defineKernel, kernelFamily } from "../engine/kernel.ts";
import { show } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";
import { workgroupSum } from "./shared/reduce.ts";
import { threadPerRow } from "./shared/thread-per-row.ts";
import { typeOf, widthFor, type Width } from "./shared/width.ts";

const WG = 64;

// One thread per channel, W elements a load.
const smallKernel = kernelFamily(({ W }: { readonly W: Width }) =>
  defineKernel({
    name: "globalAvgPool.small",
    inputs: { x: typeOf(W) }, // (N, P)
    outputs: { y: "f32" }, // (N)
    constants: { P: "u32" },
    params: { n: "u32" },
    workgroup: WG,
    code: /* wgsl */ `
    let i = group * WG + li;
    if (i >= p.n) { return; }
    var s = ${W === 4 ? "vec4f()" : "0.0"};
    for (var k = 0u; k < P; k++) { s += x[i * P + k]; }
    y[i] = ${W === 4 ? "dot(s, vec4f(0.25))" : "s"} / f32(P);`,
  }),
);

// One workgroup per channel.
const largeKernel = defineKernel({
  name: "globalAvgPool.large",
  inputs: { x: "f32" }, // (N, P)
  outputs: { y: "f32" }, // (N)
  params: { P: "u32" },
  workgroup: WG,
  helpers: workgroupSum,
  code: /* wgsl */ `
    var s = 0.0;
    for (var k = li; k < p.P; k += WG) { s += x[group * p.P + k]; }
    let total = workgroup_sum(s, li);
    if (li == 0u) { y[group] = total / f32(p.P); }`,
});

// One thread per W elements of a channel, which has P times W.
const backwardKernel = kernelFamily(({ W }: { readonly W: Width }) =>
  defineKernel({
    name: "globalAvgPool.backward",
    inputs: { dy: "f32" }, // (N)
    outputs: { dx: typeOf(W) }, // (N, P)
    constants: { P: "u32" },
    params: { n: "u32" },
    workgroup: WG,
    code: /* wgsl */ `
    let i = group * WG + li;
    if (i < p.n) { dx[i] = ${W === 4 ? "vec4f(dy[i / P] / f32(4 * P))" : "dy[i / P] / f32(P)"}; }`,
  }),
);

const op = defineOp({
  name: "globalAvgPool",

  forward([x]: [Tensor]) {
    if (x.shape.length !== 4) throw new Error(`globalAvgPool: expected x [B,C,H,W], got ${show(x.shape)}`);
    const [B, C, H, W] = x.shape as [number, number, number, number];
    const [n, P] = [B * C, H * W];
    const tensors = { inputs: { x }, outputs: { y: { shape: [B, C], dtype: x.dtype } } };
    const alone = threadPerRow(P);
    const { y } = alone
      ? smallKernel(alone)({ ...tensors, constants: { P: P / alone.W }, params: { n }, threads: n })
      : largeKernel({ ...tensors, params: { P }, groups: n });
    return { y, saved: P };
  },

  backward(dy, P, [x]) {
    const W = widthFor(P);
    const n = x.size / W;
    return [backwardKernel({ W })({ inputs: { dy }, outputs: { dx: x }, constants: { P: P / W }, params: { n }, threads: n }).dx];
  },
});

/** x: (B, C, H, W). Returns (B, C). */
export const globalAvgPool = (x: Tensor): Tensor => op([x], null);

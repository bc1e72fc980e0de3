/**
 * Every channel of every image times its own factor, as squeeze-and-excitation blocks need it.
 *
 *   y[b,c,p] = x[b,c,p] * s[b,c]     dx[b,c,p] = dy[b,c,p] * s[b,c]     ds[b,c] = sum over p of dy[b,c,p] * x[b,c,p]
 *
 * Hu et al. 2017, https://arxiv.org/abs/1709.01507
 */
import { defineOp } from "../engine/autograd.ts";
import { defineKernel, kernelFamily } from "../engine/kernel.ts";
import { sameShape, show } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";
import { workgroupSum } from "./shared/reduce.ts";
import { threadPerRow } from "./shared/thread-per-row.ts";
import { typeOf, widthFor, type Width } from "./shared/width.ts";

const WG = 64;

// One thread per W elements of a channel; also the backward for x.
const scaleKernel = kernelFamily(({ W }: { readonly W: Width }) =>
  defineKernel({
    name: "scaleChannels.scale",
    inputs: { x: typeOf(W), s: "f32" }, // (N, P), (N)
    outputs: { y: typeOf(W) }, // (N, P)
    constants: { P: "u32" },
    params: { n: "u32" },
    workgroup: WG,
    code: /* wgsl */ `
    let i = group * WG + li;
    if (i < p.n) { y[i] = x[i] * s[i / P]; }`,
  }),
);

// One thread per channel, W elements a load.
const smallSumKernel = kernelFamily(({ W }: { readonly W: Width }) =>
  defineKernel({
    name: "scaleChannels.smallSum",
    inputs: { x: typeOf(W), dy: typeOf(W) }, // (N, P)
    outputs: { ds: "f32" }, // (N)
    constants: { P: "u32" },
    params: { n: "u32" },
    workgroup: WG,
    code: /* wgsl */ `
    let i = group * WG + li;
    if (i >= p.n) { return; }
    var s = ${W === 4 ? "vec4f()" : "0.0"};
    for (var k = 0u; k < P; k++) { s += x[i * P + k] * dy[i * P + k]; }
    ds[i] = ${W === 4 ? "dot(s, vec4f(1.0))" : "s"};`,
  }),
);

// One workgroup per channel.
const largeSumKernel = defineKernel({
  name: "scaleChannels.largeSum",
  inputs: { x: "f32", dy: "f32" }, // (N, P)
  outputs: { ds: "f32" }, // (N)
  params: { P: "u32" },
  workgroup: WG,
  helpers: workgroupSum,
  code: /* wgsl */ `
    var s = 0.0;
    for (var k = li; k < p.P; k += WG) { s += x[group * p.P + k] * dy[group * p.P + k]; }
    let total = workgroup_sum(s, li);
    if (li == 0u) { ds[group] = total; }`,
});

/** x times s, in x's shape; P: elements of a channel. */
function scaled(x: Tensor, s: Tensor, P: number): Tensor {
  const W = widthFor(P);
  const n = x.size / W;
  return scaleKernel({ W })({ inputs: { x, s }, outputs: { y: x }, constants: { P: P / W }, params: { n }, threads: n }).y;
}

const op = defineOp({
  name: "scaleChannels",

  forward([x, s]: [Tensor, Tensor], _: null) {
    if (x.shape.length !== 4) throw new Error(`scaleChannels: expected x [B,C,H,W], got ${show(x.shape)}`);
    const [B, C, H, W] = x.shape as [number, number, number, number];
    if (!sameShape(s.shape, [B, C])) throw new Error(`scaleChannels: expected s [${B},${C}] for x ${show(x.shape)}, got ${show(s.shape)}`);
    return { y: scaled(x, s, H * W), saved: H * W };
  },

  backward(dy, P, [x, s], _, needs) {
    const alone = threadPerRow(P);
    const ds = () =>
      (alone
        ? smallSumKernel(alone)({
            inputs: { x, dy },
            outputs: { ds: s },
            constants: { P: P / alone.W },
            params: { n: s.size },
            threads: s.size,
          })
        : largeSumKernel({ inputs: { x, dy }, outputs: { ds: s }, params: { P }, groups: s.size })
      ).ds;
    return [needs[0] ? scaled(dy, s, P) : null, needs[1] ? ds() : null];
  },
});

/** x: (B, C, H, W), s: (B, C). Returns the shape of x. */
export const scaleChannels = (x: Tensor, s: Tensor): Tensor => op([x, s], null);

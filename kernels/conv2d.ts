/**
 * 2-D convolution (cross-correlation, as in PyTorch), with groups.
 *
 *   y[b,o,i,j] = bias[o] + sum over c, u, v of weight[o,c,u,v] * x[b, gC + c, i*stride + u - padding, j*stride + v - padding]
 *
 * where g is o's group of C channels and x is 0 outside. Backward, each sum over the terms that exist:
 *
 *   dx[b,gC+c,h,w] = sum over o, u, v of weight[o,c,u,v] * dy[b, o, (h + padding - u) / stride, (w + padding - v) / stride]
 *   dweight[o,c,u,v] = sum over b, i, j of dy[b,o,i,j] * x[b, gC + c, i*stride + u - padding, j*stride + v - padding]
 *   dbias[o] = sum over b, i, j of dy[b,o,i,j]
 *
 * Direct, without an im2col buffer (`conv-gather.ts`). A 1x1 convolution, and one that cuts the image into patches, is a matrix product.
 *
 * Dumoulin and Visin 2016, "A guide to convolution arithmetic for deep learning", https://arxiv.org/abs/1603.07285
 */
import { defineOp } from "../engine/autograd.ts";
import { defineKernel, kernelFamily } from "../engine/kernel.ts";
import { sameShape, show } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";
import { gatherKernel, range, tileOf, type Geometry, type Norm } from "./conv/direct.ts";
import { rowReader } from "./conv/rows.ts";
import { patchConv, patchConvInput, patchConvWeight } from "./conv/patches.ts";
import type { PatchSizes } from "./shared/patches.ts";
import { pointwiseConv, pointwiseConvWeight } from "./conv/pointwise.ts";
import { workgroupSum } from "./shared/reduce.ts";

// Backward for x at strides above 2: one thread per element.
const sparseInputKernel = defineKernel({
  name: "conv2d.backwardInputSparse",
  inputs: { dy: "f32", weight: "f32" }, // (B, G*O, HO, WO), (G*O, C, KH, KW)
  outputs: { dx: "f32" }, // (B, G*C, H, W)
  constants: {
    G: "u32",
    C: "u32",
    O: "u32",
    H: "u32",
    W: "u32",
    HO: "u32",
    WO: "u32",
    KH: "u32",
    KW: "u32",
    STRIDE: "u32",
    PADDING: "u32",
  },
  params: { n: "u32" },
  workgroup: 64,
  code: /* wgsl */ `
    let t = group * WG + li;
    if (t >= p.n) { return; }
    let w = t % W; let h = (t / W) % H; let c = (t / (W * H)) % C; let bg = t / (W * H * C);
    var s = 0.0;
    for (var u = 0u; u < KH; u++) {
      for (var v = 0u; v < KW; v++) {
        let y = h + PADDING - u; let x = w + PADDING - v; // wraps to something large below 0
        if (y % STRIDE != 0u || x % STRIDE != 0u || y / STRIDE >= HO || x / STRIDE >= WO || u > h + PADDING || v > w + PADDING) { continue; }
        for (var o = 0u; o < O; o++) {
          s += weight[(((bg % G) * O + o) * C + c) * KH * KW + u * KW + v] * dy[((bg * O + o) * HO + y / STRIDE) * WO + x / STRIDE];
        }
      }
    }
    dx[t] = s;`,
});

const WEIGHT_WG = 32;

/**
 * The backward for weight. A workgroup makes TO x TC channels of one kernel row (of one kernel element if rows are long) over a
 * stripe of the output pixels: each thread adds up its own pixels, TX in a row at a time, and the threads' sums are added at the
 * end. `sumStripes` adds the stripes.
 */
const weightKernel = kernelFamily((f: Geometry) => {
  const { kh, kw, stride, padding, groups, C, O, H, W, Ho, Wo } = f;
  const TV = kw <= 3 ? kw : 1,
    VT = kw / TV;
  const TX = Math.min(Wo, 4);
  const TO = tileOf(O, 8),
    TC = tileOf(C, TV === 1 ? 8 : 4);
  const XT = Math.ceil(Wo / TX),
    OT = Math.ceil(O / TO),
    CT = Math.ceil(C / TC);
  const sums = TO * TC * TV,
    pitch = WEIGHT_WG + 1; // an odd pitch spreads over the banks
  const dys = rowReader("dy", { columns: range(TX), H: null, W: Wo, step: TX, tiles: XT });
  const xs = rowReader("x", {
    columns: range(TV).flatMap((v) => range(TX).map((j) => j * stride + v - padding)),
    H: kh === 1 && padding === 0 ? null : H,
    W,
    step: VT === 1 ? TX * stride : null,
    tiles: XT,
  });
  const clamped = (base: string, i: number, n: number, tile: number) =>
    n % tile === 0 ? `${base} + ${i}u` : `min(${base} + ${i}u, ${n - 1}u)`;

  const kernel = defineKernel({
    name: "conv2d.backwardWeight",
    inputs: { x: xs.elem, dy: dys.elem }, // (B, groups*C, H, W), (B, groups*O, Ho, Wo)
    outputs: { dw: "f32" }, // (stripes, groups*O, C, kh, kw)
    params: { tiles: "u32", steps: "u32" },
    workgroup: WEIGHT_WG,
    helpers: `var<workgroup> lanes: array<f32, ${sums * pitch}>;`,
    code: [
      `let g = wid.x / ${OT}u; let o0 = (wid.x % ${OT}u) * ${TO}u; let c0 = (wid.y % ${CT}u) * ${TC}u;`,
      `let u = wid.y / ${CT * VT}u; let v0 = (wid.y / ${CT}u) % ${VT}u * ${TV}u;`,
      ...range(sums).map((a) => `var a_${a} = 0.0;`),
      `for (var step = 0u; step < p.steps; step++) {`,
      `let n = (wid.z * p.steps + step) * WG + li; let t = min(n, p.tiles - 1u);`,
      `let tx = t % ${XT}u; let ty = (t / ${XT}u) % ${Ho}u; let b = t / ${XT * Ho}u;`,
      "var first: u32; var x0: i32; var row: i32;",
      `x0 = i32(tx * ${TX}u); row = i32(ty); first = (b * ${groups}u + g) * ${O * Ho * Wo}u;`,
      ...dys.place(["(n < p.tiles)"]),
      ...range(TO).flatMap((i) => dys.load(`d${i}`, "dy", `(first + (${clamped("o0", i, O, TO)}) * ${Ho * Wo}u)`)),
      `x0 = i32(tx * ${TX * stride}u${VT > 1 ? " + v0" : ""}); row = i32(ty * ${stride}u + u) - ${padding}; first = (b * ${groups}u + g) * ${C * H * W}u;`,
      ...xs.place(),
      ...range(TC).flatMap((c) => [
        "{",
        ...xs.load("v", "x", `(first + (${clamped("c0", c, C, TC)}) * ${H * W}u)`),
        ...range(TO).flatMap((i) =>
          range(TV).map(
            (v) =>
              `a_${(i * TC + c) * TV + v} += ${range(TX)
                .map((j) => `${dys.value(`d${i}`, j)} * ${xs.value("v", j * stride + v - padding)}`)
                .join(" + ")};`,
          ),
        ),
        "}",
      ]),
      "}",
      ...range(sums).map((a) => `lanes[${a * pitch}u + li] = a_${a};`),
      "workgroupBarrier();",
      `for (var k = 0u; k < ${Math.ceil(sums / WEIGHT_WG)}u; k++) {`,
      `let a = k * WG + li; let o = o0 + a / ${TC * TV}u; let c = c0 + (a / ${TV}u) % ${TC}u;`,
      `if (a < ${sums}u && o < ${O}u && c < ${C}u) {`,
      "var s = 0.0;",
      `for (var l = 0u; l < WG; l++) { s += lanes[a * ${pitch}u + l]; }`,
      `dw[(((wid.z * ${groups}u + g) * ${O}u + o) * ${C}u + c) * ${kh * kw}u + u * ${kw}u + v0 + a % ${TV}u] = s;`,
      "} }",
    ].join("\n"),
  });
  return (x: Tensor, dy: Tensor): Tensor => {
    const tiles = x.shape[0]! * Ho * XT;
    const across = groups * OT * CT * kh * VT;
    const stripes = Math.min(Math.ceil(512 / across), Math.ceil(tiles / (4 * WEIGHT_WG)));
    const steps = Math.ceil(tiles / (stripes * WEIGHT_WG));
    const shape = [groups * O, C, kh, kw];
    const { dw } = kernel({
      inputs: { x, dy },
      outputs: { dw: [stripes, ...shape] },
      params: { tiles, steps },
      groups: [groups * OT, CT * kh * VT, stripes],
    });
    if (stripes === 1) return dw.view(shape);
    const n = dw.size / stripes;
    return sumStripesKernel({ inputs: { parts: dw }, outputs: { y: shape }, params: { n, stripes }, threads: n }).y;
  };
});

// One thread per weight.
const sumStripesKernel = defineKernel({
  name: "conv2d.sumStripes",
  inputs: { parts: "f32" }, // (stripes, n)
  outputs: { y: "f32" }, // (n)
  params: { n: "u32", stripes: "u32" },
  workgroup: 64,
  code: /* wgsl */ `
    let i = group * WG + li;
    if (i < p.n) {
      var s = 0.0;
      for (var k = 0u; k < p.stripes; k++) { s += parts[k * p.n + i]; }
      y[i] = s;
    }`,
});

// One workgroup per channel.
const biasKernel = defineKernel({
  name: "conv2d.backwardBias",
  inputs: { dy: "f32" }, // (B, O, P)
  outputs: { dbias: "f32" }, // (O)
  params: { B: "u32", O: "u32", P: "u32" },
  workgroup: 64,
  helpers: workgroupSum,
  code: /* wgsl */ `
    var s = 0.0;
    for (var i = li; i < p.B * p.P; i += WG) { s += dy[((i / p.P) * p.O + group) * p.P + i % p.P]; }
    let total = workgroup_sum(s, li);
    if (li == 0u) { dbias[group] = total; }`,
});

export interface Conv2dOptions {
  readonly stride?: number;
  readonly padding?: number;
  readonly groups?: number;
}

const op = defineOp({
  name: "conv2d",

  forward([x, weight, bias]: [Tensor, Tensor, Tensor | null], { stride = 1, padding = 0, groups = 1 }: Conv2dOptions) {
    const f = geometry(x, weight, bias, stride, padding, groups);
    const patches = cutsPatches(f);
    if (patches) return { y: patchConv(x, weight, bias, patches), saved: f };
    if (isPointwise(f)) return { y: pointwiseConv(x, weight, f, { bias: bias ?? undefined }), saved: f };
    return { y: gatherKernel({ ...f, transposed: false, bias: bias !== null })(x, weight, bias), saved: f };
  },

  backward(dy, f, [x, weight, bias], _, needs) {
    const [B, O, Ho, Wo] = dy.shape as [number, number, number, number];
    const patches = cutsPatches(f);
    if (patches) {
      const { dweight = null, dbias = null } = needs[1] || needs[2] ? patchConvWeight(x, dy, patches, bias !== null) : {};
      return [needs[0] ? patchConvInput(dy, weight, patches) : null, dweight, dbias];
    }
    const pointwise = isPointwise(f);
    const dx = () =>
      pointwise && f.stride === 1
        ? pointwiseConv(dy, weight, f, { back: true })
        : f.stride <= 2
          ? gatherKernel({ ...f, transposed: true, bias: false })(dy, weight, null)
          : sparseInputKernel({
              inputs: { dy, weight },
              outputs: { dx: x },
              constants: {
                G: f.groups,
                C: f.C,
                O: f.O,
                H: f.H,
                W: f.W,
                HO: Ho,
                WO: Wo,
                KH: f.kh,
                KW: f.kw,
                STRIDE: f.stride,
                PADDING: f.padding,
              },
              params: { n: x.size },
              threads: x.size,
            }).dx;
    if (pointwise) {
      const { dweight = null, dbias = null } = needs[1] || needs[2] ? pointwiseConvWeight(x, dy, f, bias !== null) : {};
      return [needs[0] ? dx() : null, dweight, dbias];
    }
    const dbias = () => biasKernel({ inputs: { dy }, outputs: { dbias: [O] }, params: { B, O, P: Ho * Wo }, groups: O }).dbias;
    return [needs[0] ? dx() : null, needs[1] ? weightKernel(f)(x, dy) : null, bias && needs[2] ? dbias() : null];
  },
});

/** x: (B, C, H, W), weight: (O, C / groups, kh, kw), bias: (O) or null. Returns (B, O, Ho, Wo), Ho = floor((H + 2 padding - kh) / stride) + 1. */
export const conv2d = (x: Tensor, weight: Tensor, bias: Tensor | null = null, options: Conv2dOptions = {}): Tensor =>
  op([x, weight, bias], options);

export interface ConvNormOptions extends Conv2dOptions {
  readonly eps?: number;
  /** Apply max(y, 0) last. */
  readonly relu?: boolean;
}

/** `batchNorm` of `conv2d` without a bias, with the running statistics `mean` and `variance`, in one launch. No gradient flows. */
export function convNorm(
  x: Tensor,
  weight: Tensor,
  norm: Norm,
  { stride = 1, padding = 0, groups = 1, eps = 1e-5, relu = false }: ConvNormOptions = {},
): Tensor {
  const f = geometry(x, weight, null, stride, padding, groups);
  const O = weight.shape[0]!;
  for (const [name, t] of Object.entries(norm))
    if (!sameShape(t.shape, [O]))
      throw new Error(`convNorm: expected ${name} [${O}] for weight ${show(weight.shape)}, got ${show(t.shape)}`);
  return isPointwise(f)
    ? pointwiseConv(x, weight, f, { norm: { ...norm, eps, relu } })
    : gatherKernel({ ...f, transposed: false, bias: false, norm: { eps, relu } })(x, weight, null, norm);
}

function geometry(x: Tensor, weight: Tensor, bias: Tensor | null, stride: number, padding: number, groups: number): Geometry {
  const refuse = (what: string) => {
    throw new Error(`conv2d: expected ${what}`);
  };
  if (x.shape.length !== 4 || weight.shape.length !== 4)
    refuse(`x [B,C,H,W] and weight [O,C/groups,kh,kw], got ${show(x.shape)} and ${show(weight.shape)}`);
  const [, channels, H, W] = x.shape as [number, number, number, number];
  const [O, C, kh, kw] = weight.shape as [number, number, number, number];
  if (![stride, groups].every((n) => Number.isInteger(n) && n > 0) || !Number.isInteger(padding) || padding < 0)
    refuse(`positive integers stride and groups and a padding of 0 or more, got ${stride}, ${groups} and ${padding}`);
  if (O % groups !== 0 || C * groups !== channels)
    refuse(
      `weight [O,${channels / groups},kh,kw] with O a multiple of ${groups} for x ${show(x.shape)} and groups ${groups}, got ${show(weight.shape)}`,
    );
  if (bias && !sameShape(bias.shape, [O])) refuse(`bias [${O}], got ${show(bias.shape)}`);
  if (H + 2 * padding < kh || W + 2 * padding < kw)
    refuse(`an image of at least ${kh}x${kw} with padding ${padding}, got ${show(x.shape)}`);
  return {
    H,
    W,
    kh,
    kw,
    stride,
    padding,
    groups,
    C,
    O: O / groups,
    Ho: Math.floor((H + 2 * padding - kh) / stride) + 1,
    Wo: Math.floor((W + 2 * padding - kw) / stride) + 1,
  };
}

/** The patches that this convolution cuts an image into, if it does nothing else. */
const cutsPatches = ({ C, H, W, kh, kw, stride, padding, groups }: Geometry): PatchSizes | null =>
  stride > 1 && kh === stride && kw === stride && padding === 0 && groups === 1 && H % stride === 0 && W % stride === 0
    ? { C, H, W, p: stride }
    : null;

const isPointwise = ({ kh, kw, padding, groups }: Geometry): boolean => kh === 1 && kw === 1 && padding === 0 && groups === 1;

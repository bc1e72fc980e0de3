/**
 * Depthwise 2-D convolution of stride 1 with the channels last: each channel has a K x K kernel of its own (K odd), and the image keeps its
 * size. Beside linear layers, which take rows of channels, nothing has to be transposed.
 *
 *   y[b,i,j,c] = bias[c] + sum over u, v of weight[c,0,u,v] * x[b, i + u - P, j + v - P, c],   P = (K - 1) / 2, x is 0 outside
 *
 * Backward:
 *
 *   dx = the same sums of dy, with every kernel turned by 180 degrees
 *   dweight[c,0,u,v] = sum over b, i, j of dy[b,i,j,c] * x[b, i + u - P, j + v - P, c],   dbias[c] = sum over b, i, j of dy[b,i,j,c]
 *
 * Liu et al. 2022, "A ConvNet for the 2020s", https://arxiv.org/abs/2201.03545
 */
import { defineOp } from "../engine/autograd.ts";
import { defineKernel, kernelFamily } from "../engine/kernel.ts";
import { sameShape, show } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";
import { addParts } from "./shared/add-parts.ts";
import { stripesOf } from "./shared/reduce.ts";
import { range } from "./shared/unroll.ts";
import { typeOf, widthFor } from "./shared/width.ts";

/** Neighbouring columns that a thread computes, so that it loads few pixels twice: a divisor of 56, 28, 14 and 7, the sides of 224 pixels' stages. */
const RUN = 7;
const WG = 64;

interface Config {
  readonly K: number;
  /** Channels of a vector. */
  readonly W: 1 | 4;
}

/**
 * `tap(v, o, pixel)` for every pixel of row `h` that one of the columns `left + o` of a run reads by its kernel's column v. `pixel` is x's value,
 * 0 outside the image.
 */
const alongRun = ({ K, W }: Config, tap: (v: number, o: number, pixel: string) => string): string =>
  range(RUN + K - 1)
    .map((t) => {
      const taps = range(K).filter((v) => t - v >= 0 && t - v < RUN);
      const column = `left + ${t}u - ${(K - 1) / 2}u`; // wraps to something large below 0
      return /* wgsl */ `{ let column = ${column}; let pixel = select(${typeOf(W)}(), x[(h * p.width + column) * p.len + c], column < p.width); ${taps.map((v) => tap(v, t - v, "pixel")).join(" ")} }`;
    })
    .join("\n      ");

const sizes = { height: "u32", width: "u32", len: "u32" } as const; // len: vectors of a pixel

// One thread per vector of channels and run of columns.
const forwardKernel = kernelFamily(({ K, W, turned }: Config & { readonly turned: boolean }) => {
  const T = typeOf(W);
  const weight = (v: number) => {
    const at = (e: number) => `weight[(c * ${W}u + ${e}u) * ${K * K}u + k${turned ? " - " : " + "}${v}u]`;
    return `${T}(${range(W).map(at).join(", ")})`;
  };
  return defineKernel({
    name: turned ? "depthwiseConv.backwardInput" : "depthwiseConv.forward",
    inputs: { x: T, weight: "f32", bias: `${T}?` as const }, // (B, H, W, C), (C, K, K), (C)
    outputs: { y: T }, // (B, H, W, C)
    params: { ...sizes, runs: "u32", n: "u32" },
    workgroup: WG,
    code: (_, has) => /* wgsl */ `
    let thread = group * WG + li;
    if (thread >= p.n) { return; }
    let c = thread % p.len; let left = thread / p.len % p.runs * ${RUN}u;
    let row = thread / (p.len * p.runs); // of all images
    let top = row - row % p.height;
    ${range(RUN)
      .map((o) => `var s${o} = ${has.bias ? "bias[c]" : `${T}()`};`)
      .join(" ")}
    for (var u = 0u; u < ${K}u; u++) {
      let inside = row % p.height + u - ${(K - 1) / 2}u; // wraps to something large below 0
      if (inside >= p.height) { continue; }
      let h = top + inside;
      let k = ${turned ? `${K * K - 1}u - u * ${K}u` : `u * ${K}u`};
      ${range(K)
        .map((v) => `let w${v} = ${weight(v)};`)
        .join("\n      ")}
      ${alongRun({ K, W }, (v, o, pixel) => `s${o} += w${v} * ${pixel};`)}
    }
    ${range(RUN)
      .map((o) => `if (left + ${o}u < p.width) { y[(row * p.width + left + ${o}u) * p.len + c] = s${o}; }`)
      .join("\n    ")}`,
  });
});

// One thread per vector of channels, row u of the kernel, and stripe of the images' rows.
const weightKernel = kernelFamily(({ K, W }: Config) => {
  const T = typeOf(W);
  const element = (name: string, e: number) => (W === 1 ? name : `${name}[${e}]`);
  return defineKernel({
    name: "depthwiseConv.backwardWeight",
    inputs: { x: T, dy: T }, // (B, H, W, C) each
    outputs: { dweight: "f32", dbias: T }, // (parts, C, K, K), (parts, C)
    params: { ...sizes, rows: "u32", stripe: "u32", n: "u32" }, // rows: of all images
    workgroup: WG,
    code: /* wgsl */ `
    let thread = group * WG + li;
    if (thread >= p.n) { return; }
    let c = thread % p.len; let u = thread / p.len % ${K}u; let part = thread / (p.len * ${K}u);
    ${range(K)
      .map((v) => `var s${v} = ${T}();`)
      .join(" ")}
    var sum = ${T}();
    for (var row = part * p.stripe; row < min((part + 1u) * p.stripe, p.rows); row++) {
      let inside = row % p.height + u - ${(K - 1) / 2}u; // wraps to something large below 0; always inside in the kernel's middle row
      if (inside >= p.height) { continue; }
      let h = row - row % p.height + inside;
      for (var left = 0u; left < p.width; left += ${RUN}u) {
        ${range(RUN)
          .map((o) => `let d${o} = select(${T}(), dy[(row * p.width + left + ${o}u) * p.len + c], left + ${o}u < p.width); sum += d${o};`)
          .join("\n        ")}
        ${alongRun({ K, W }, (v, o, pixel) => `s${v} += d${o} * ${pixel};`)}
      }
    }
    ${range(K)
      .flatMap((v) =>
        range(W).map((e) => `dweight[((part * p.len + c) * ${W}u + ${e}u) * ${K * K}u + u * ${K}u + ${v}u] = ${element(`s${v}`, e)};`),
      )
      .join("\n    ")}
    if (u == ${(K - 1) / 2}u) { dbias[part * p.len + c] = sum; }`,
  });
});

const op = defineOp({
  name: "depthwiseConv",

  forward([x, weight, bias]: [Tensor, Tensor, Tensor | null]) {
    const [C, one, K = 0] = weight.shape;
    if (x.shape.length !== 4 || one !== 1 || K % 2 !== 1 || !sameShape(weight.shape, [x.shape[3]!, 1, K, K]))
      throw new Error(`depthwiseConv: expected x [B,H,W,C] and weight [C,1,K,K] of odd K, got ${show(x.shape)} and ${show(weight.shape)}`);
    if (bias && !sameShape(bias.shape, [C!])) throw new Error(`depthwiseConv: expected bias [${C}], got ${show(bias.shape)}`);
    return { y: convolve(x, weight, bias, K, false), saved: K };
  },

  backward(dy, K, [x, weight, bias], _, needs) {
    const made = needs[1] || needs[2] ? weightGradients(x, dy, K) : null;
    return [
      needs[0] ? convolve(dy, weight, null, K, true) : null,
      made?.dweight.view(weight.shape) ?? null,
      bias && made ? made.dbias : null,
    ];
  },
});

/** `turned`: with every kernel turned by 180 degrees. */
function convolve(x: Tensor, weight: Tensor, bias: Tensor | null, K: number, turned: boolean): Tensor {
  const [B, height, width, C] = x.shape as [number, number, number, number];
  const W = widthFor(C);
  const [len, runs] = [C / W, Math.ceil(width / RUN)];
  const n = B * height * runs * len;
  const outputs = { y: { shape: x.shape, dtype: x.dtype } };
  return forwardKernel({ K, W, turned })({ inputs: { x, weight, bias }, outputs, params: { height, width, len, runs, n }, threads: n }).y;
}

function weightGradients(x: Tensor, dy: Tensor, K: number): { readonly dweight: Tensor; readonly dbias: Tensor } {
  const [B, height, width, C] = x.shape as [number, number, number, number];
  const W = widthFor(C);
  const [len, rows] = [C / W, B * height];
  const { stripe, parts } = stripesOf(rows, len * K);
  const n = parts * K * len;
  const { dweight, dbias } = weightKernel({ K, W })({
    inputs: { x, dy },
    outputs: { dweight: [parts, C * K * K], dbias: [parts, C] },
    params: { height, width, len, rows, stripe, n },
    threads: n,
  });
  if (parts === 1) return { dweight, dbias: dbias.view([C]) };
  return { dweight: addParts([dweight])[0], dbias: addParts([dbias])[0] };
}

/** x: (B, H, W, C), weight: (C, 1, K, K) of odd K, bias: (C) or null. Returns (B, H, W, C). */
export const depthwiseConv = (x: Tensor, weight: Tensor, bias: Tensor | null = null): Tensor => op([x, weight, bias], null);

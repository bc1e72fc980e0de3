/**
 * Scaled dot-product attention by batched products, with the N x M matrix P in memory. On a GPU whose products run near
 * its peak this can beat the fused kernels; in training P is saved for the backward. The tuner measures which is faster.
 *
 * Rows of S and P have M elements and are stored padded to a multiple of four, since products load four at a time; P's padding is zero.
 *
 *   S = scale * q k^T,   P = softmax(S),   y = P v
 *   dv = P^T dy,   dS = P * (dy v^T - rowsum(P * dy v^T)),   dq = scale * dS k,   dk = scale * dS^T q
 *
 * Vaswani et al. 2017, section 3.2.1, https://arxiv.org/abs/1706.03762
 */
import { defineOp } from "../../engine/autograd.ts";
import { getDevice } from "../../engine/device.ts";
import { defineKernel, kernelFamily } from "../../engine/kernel.ts";
import type { Tensor } from "../../engine/tensor.ts";
import type { Sizes } from "./flash.ts";
import type { Operand } from "../gemm/describe.ts";
import { gemm } from "../gemm/gemm.ts";
import { workgroupMax, workgroupSum } from "../shared/reduce.ts";
import { softmaxRowsBackward } from "../rows/softmax.ts";

/** Position and distance of a head's rows in a tensor. */
type Place = Omit<Operand, "tensor" | "transposed" | "map">;

/** [B,H,rows,D], and [B,N,thirds,H,D] from one of its thirds on. */
const dense = (H: number, rows: number, D: number): Place => ({ ld: D, batch: [H * rows * D, rows * D] });
const packed = (H: number, N: number, D: number, thirds: 1 | 3, third: number): Place => ({
  ld: thirds * H * D,
  batch: [N * thirds * H * D, D],
  offset: third * H * D,
});

interface Places {
  readonly q: Operand;
  readonly k: Operand;
  readonly v: Operand;
}

const WG = 64;
/** Vectors of a row that a thread holds in registers; longer rows are read again. */
const IN_REGISTERS = 4;

// A workgroup per row, its elements in registers where they fit.
const softmax = kernelFamily(({ fits }: { fits: boolean }) =>
  defineKernel({
    name: "attention.softmax",
    workgroup: WG,
    inputs: { s: "vec4f" },
    outputs: { p_row: "vec4f" }, // (rows, stride) each
    params: { rows: "u32", len: "u32", stride: "u32", scale: "f32" }, // elements, vectors
    helpers: `${workgroupSum}${workgroupMax}
fn highest(v: vec4f) -> f32 { return max(max(v.x, v.y), max(v.z, v.w)); }
/** Elements from number i on; those past the row's end cannot be the highest, and their exponential is zero. */
fn inside(v: vec4f, i: u32, len: u32) -> vec4f { return select(vec4f(-3.4e38), v, vec4u(i, i + 1u, i + 2u, i + 3u) < vec4u(len)); }`,
    code: /* wgsl */ `
    let row = group;
    if (row < p.rows) {
      let first = row * p.stride;
      var most = -3.4e38;
      ${
        fits
          ? Array.from(
              { length: IN_REGISTERS },
              (_, i) => `var v${i} = vec4f(-3.4e38);
      if (li + ${i * WG}u < p.stride) { v${i} = inside(s[first + li + ${i * WG}u] * p.scale, (li + ${i * WG}u) * 4u, p.len); most = max(most, highest(v${i})); }`,
            ).join("\n      ")
          : `for (var i = li; i < p.stride; i += WG) { most = max(most, highest(inside(s[first + i] * p.scale, i * 4u, p.len))); }`
      }
      most = workgroup_max(most, li);
      var total = 0.0;
      ${
        fits
          ? Array.from({ length: IN_REGISTERS }, (_, i) => `v${i} = exp(v${i} - vec4f(most)); total += dot(v${i}, vec4f(1.0));`).join(
              "\n      ",
            )
          : `for (var i = li; i < p.stride; i += WG) { total += dot(exp(inside(s[first + i] * p.scale, i * 4u, p.len) - vec4f(most)), vec4f(1.0)); }`
      }
      let r = 1.0 / workgroup_sum(total, li);
      ${
        fits
          ? Array.from(
              { length: IN_REGISTERS },
              (_, i) => `if (li + ${i * WG}u < p.stride) { p_row[first + li + ${i * WG}u] = v${i} * r; }`,
            ).join("\n      ")
          : `for (var i = li; i < p.stride; i += WG) { p_row[first + i] = exp(inside(s[first + i] * p.scale, i * 4u, p.len) - vec4f(most)) * r; }`
      }
    }`,
  }),
);

/** M, rounded up to a multiple of four. */
const stored = (M: number): number => Math.ceil(M / 4) * 4;

/** Bytes that P takes. */
export const probabilityBytes = ({ B, H, N, M }: Pick<Sizes, "B" | "H" | "N" | "M">): number => 4 * B * H * N * stored(M);

function probabilities({ q, k }: Places, { B, H, N, M, D, scale }: Sizes): Tensor {
  const bytes = probabilityBytes({ B, H, N, M }),
    most = getDevice().limits.maxStorageBufferBindingSize;
  if (bytes > most)
    throw new Error(
      `attention: expected at most ${most} bytes of probabilities for variant batched, got ${bytes} (${B} x ${H} x ${N} x ${M})`,
    );
  const shape = [B, H, N, stored(M)],
    stride = stored(M) / 4;
  const s = gemm({ a: q, b: { ...k, transposed: true, rows: M }, M: N, N: stored(M), K: D, batch: [B, H], shape }).y;
  return softmax({ fits: stride <= IN_REGISTERS * WG })({
    inputs: { s },
    outputs: { p_row: s },
    params: { rows: B * H * N, len: M, stride, scale },
    groups: B * H * N,
  }).p_row;
}

/** P or its gradient as an operand. */
const square = (tensor: Tensor, { H, N, M }: Sizes): Operand => ({
  tensor,
  ld: stored(M),
  batch: [H * N * stored(M), N * stored(M)],
  padded: true,
});

/** dq, dk and dv; `to` says where the rows of each go. */
function backward(
  dy: Operand,
  P: Tensor,
  { q, k, v }: Places,
  sizes: Sizes,
  shapes: readonly [readonly number[], readonly number[]],
  to: readonly [Place, Place],
) {
  const { B, H, N, M, D, scale } = sizes;
  const batch = [B, H];
  const [toQ, toK] = to.map(({ ld, batch: steps }) => ({ ld: ld!, batch: steps! })) as [
    { ld: number; batch: readonly number[] },
    { ld: number; batch: readonly number[] },
  ];
  const dP = gemm({ a: dy, b: { ...v, transposed: true, rows: M }, M: N, N: stored(M), K: D, batch, shape: [B, H, N, stored(M)] }).y;
  const dS = softmaxRowsBackward(P, dP);
  return {
    dq: gemm({ a: square(dS, sizes), b: k, M: N, N: D, K: M, batch, shape: shapes[0], out: toQ, alpha: scale }).y,
    dk: gemm({ a: { ...square(dS, sizes), transposed: true }, b: q, M, N: D, K: N, batch, shape: shapes[1], out: toK, alpha: scale }).y,
    dv: gemm({ a: { ...square(P, sizes), transposed: true }, b: dy, M, N: D, K: N, batch, shape: shapes[1], out: toK }).y,
  };
}

const op = defineOp({
  name: "attentionBatched",
  forward([q, k, v]: [Tensor, Tensor, Tensor], sizes: Sizes) {
    const { B, H, N, M, D } = sizes;
    const P = probabilities({ q: { tensor: q }, k: { tensor: k }, v: { tensor: v } }, sizes);
    return { y: gemm({ a: square(P, sizes), b: { tensor: v }, M: N, N: D, K: M, batch: [B, H], shape: q.shape }).y, saved: P };
  },
  backward(dy, P, [q, k, v], sizes) {
    const { H, N, M, D } = sizes;
    const { dq, dk, dv } = backward(
      { tensor: dy },
      P,
      { q: { tensor: q }, k: { tensor: k }, v: { tensor: v } },
      sizes,
      [q.shape, k.shape],
      [dense(H, N, D), dense(H, M, D)],
    );
    return [dq, dk, dv];
  },
});

const thirds = (qkv: Tensor, { H, N, D }: Sizes): Places => {
  const [q, k, v] = [0, 1, 2].map((third) => ({ tensor: qkv, ...packed(H, N, D, 3, third) })) as [Operand, Operand, Operand];
  return { q, k, v };
};

// One thread per vector (or element): the three gradients side by side, as q, k and v lie.
const pack = kernelFamily(({ W }: { W: 1 | 4 }) => {
  const T = W === 4 ? "vec4f" : "f32";
  return defineKernel({
    name: "attention.pack",
    workgroup: 128,
    inputs: { dq: T, dk: T, dv: T }, // (B, N, H, D) each
    outputs: { dqkv: T }, // (B, N, 3, H, D)
    params: { n: "u32", width: "u32" }, // vectors of one gradient, and of a token's
    code: /* wgsl */ `
    let i = group * WG + li;
    if (i < p.n) {
      let at = i / p.width * 3u * p.width + i % p.width;
      dqkv[at] = dq[i];
      dqkv[at + p.width] = dk[i];
      dqkv[at + 2u * p.width] = dv[i];
    }`,
  });
});

const packedOp = defineOp({
  name: "attentionBatchedPacked",
  forward([qkv]: [Tensor], sizes: Sizes) {
    const { B, H, N, D } = sizes;
    const places = thirds(qkv, sizes);
    const P = probabilities(places, sizes);
    const { ld, batch } = packed(H, N, D, 1, 0);
    return {
      y: gemm({ a: square(P, sizes), b: places.v, M: N, N: D, K: N, batch: [B, H], shape: [B, N, H * D], out: { ld: ld!, batch: batch! } })
        .y,
      saved: P,
    };
  },
  backward(dy, P, [qkv], sizes) {
    const { B, H, N, D } = sizes;
    const side = packed(H, N, D, 1, 0);
    const { dq, dk, dv } = backward(
      { tensor: dy, ...side },
      P,
      thirds(qkv, sizes),
      sizes,
      [
        [B, N, H * D],
        [B, N, H * D],
      ],
      [side, side],
    );
    const W = (H * D) % 4 === 0 ? 4 : 1,
      n = dq.size / W;
    return [pack({ W })({ inputs: { dq, dk, dv }, outputs: { dqkv: qkv }, params: { n, width: (H * D) / W }, threads: n }).dqkv];
  },
});

/** `attention` without its checks. */
export const attentionByProducts = (q: Tensor, k: Tensor, v: Tensor, sizes: Sizes): Tensor => op([q, k, v], sizes);

/** `attentionPacked` without its checks. */
export const packedAttentionByProducts = (qkv: Tensor, sizes: Sizes): Tensor => packedOp([qkv], sizes);

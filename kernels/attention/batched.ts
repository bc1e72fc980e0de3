/**
 * Scaled dot-product attention by batched products, with the N x M matrix P in memory. On a GPU whose products run near
 * its peak this can beat the fused kernels; in training P is saved for the backward. The tuner measures which is faster.
 *
 * Rows of S and P have M elements and are stored padded to a multiple of four, in f16 of eight, since products load 16 bytes at a time; P's
 * padding is zero.
 *
 *   S = scale * q k^T,   P = softmax(S),   y = P v
 *   dv = P^T dy,   dS = P * (dy v^T - rowsum(P * dy v^T)),   dq = scale * dS k,   dk = scale * dS^T q
 *
 * rowsum(P * dy v^T) = rowsum(dy * y), so that the product dy v^T ends with dS: Dao et al. 2022, appendix B,
 * https://arxiv.org/abs/2205.14135. Vaswani et al. 2017, section 3.2.1, https://arxiv.org/abs/1706.03762
 */
import { defineOp } from "../../engine/autograd.ts";
import { getDevice } from "../../engine/device.ts";
import { defineKernel, kernelFamily } from "../../engine/kernel.ts";
import { dtypeBytes, type DType, type Tensor } from "../../engine/tensor.ts";
import type { Sizes } from "./flash.ts";
import type { Gemm, Operand } from "../gemm/describe.ts";
import { gemm } from "../gemm/gemm.ts";
import { rowPlan, rowWords, vectors, type RowConfig } from "../rows/rows.ts";
import { rowVariant } from "../rows/variants.ts";
import { amongZeros } from "../shared/among-zeros.ts";

/** Position and distance of a head's rows in a tensor. */
type Place = Omit<Operand, "tensor" | "transposed" | "map">;

/** [B,N,thirds,H,D] from one of its thirds on. */
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

/** Of each row of S the softmax of its first `len` elements, times `scale`; the padding becomes zero. */
const softmaxKernel = kernelFamily(({ shape, W }: RowConfig) => {
  const w = rowWords(shape);
  const { T, total, most } = vectors(W);
  // Elements past the row's end cannot be the highest, and their exponential is zero.
  const row = w.row(T, { v: (at, i) => `inside(s[${at}] * p.scale, (${i}) * ${W}u, p.valid)` });
  return defineKernel({
    ...w.threads,
    name: "attention.softmax",
    inputs: { s: T },
    outputs: { p_row: T }, // (rows, len) each
    params: { rows: "u32", len: "u32", valid: "u32", scale: "f32" }, // vectors of a row, and elements that are not padding
    helpers: `${w.threads.helpers}
fn inside(v: ${T}, i: u32, valid: u32) -> ${T} { return select(${T}(-3.4e38), v, vec4u(i, i + 1u, i + 2u, i + 3u) < vec4u(valid)); }`,
    code: w.code(/* wgsl */ `
    let first = row * p.len;
    ${row.load}
    var m = -3.4e38;
    ${row.each(({ v }) => `let a = ${v}; m = max(m, ${most("a")});`)}
    ${w.max("m")}
    var sum = 0.0;
    ${row.each(({ v }) => `sum += ${total(`exp(${v} - ${T}(m))`)};`)}
    ${w.sum("sum")}
    let r = 1.0 / sum;
    ${row.store(({ v, at }) => `p_row[${at}] = exp(${v} - ${T}(m)) * r;`)}`),
  });
});

/** Of each row of y (batches, N, H, D) its product with dy's; dots are (batches, H, N). */
const dotsKernel = kernelFamily(({ shape, W }: RowConfig) => {
  const w = rowWords(shape);
  const { T, total } = vectors(W);
  const row = w.row(T, { v: (at) => `y[${at}]`, d: (at) => `dy[${at}]` });
  return defineKernel({
    ...w.threads,
    name: "attention.dots",
    inputs: { y: T, dy: T },
    outputs: { dots: "f32" },
    params: { rows: "u32", len: "u32", N: "u32", H: "u32" },
    code: w.code(/* wgsl */ `
    let first = row * p.len;
    ${row.load}
    var s = 0.0;
    ${row.each(({ v, d }) => `s += ${total(`${d} * ${v}`)};`)}
    ${w.sum("s")}
    if (${w.leads}) { dots[(row / p.H / p.N * p.H + row % p.H) * p.N + row / p.H % p.N] = s; }`),
  });
});

/** heads: of rows that follow each other. */
function rowDots(y: Tensor, dy: Tensor, { B, H, N, D }: Sizes, heads: number): Tensor {
  const rows = y.view([B * N * H, D]);
  const { config, grid } = rowPlan(rows, rowVariant("softmax", rows));
  const params = { rows: grid.rows, len: grid.len, N, H: heads };
  return dotsKernel(config)({ inputs: { y, dy }, outputs: { dots: [B, H, N] }, params, groups: grid.groups }).dots;
}

/** Length of a stored row: M, rounded up to whole words of 16 bytes. */
const stored = (M: number, dtype: DType): number => {
  const word = dtype === "f16" ? 8 : 4;
  return Math.ceil(M / word) * word;
};

/** Bytes that P takes. */
export const probabilityBytes = ({ B, H, N, M }: Pick<Sizes, "B" | "H" | "N" | "M">, dtype: DType): number =>
  dtypeBytes[dtype] * B * H * N * stored(M, dtype);

function probabilities({ q, k }: Places, { B, H, N, M, D, scale }: Sizes): Tensor {
  const { dtype } = q.tensor;
  // Scores are f32 even where P is f16: its error in a score of 50 would be one of 2 % in P.
  const bytes = probabilityBytes({ B, H, N, M }, "f32"),
    most = getDevice().limits.maxStorageBufferBindingSize;
  if (bytes > most)
    throw new Error(
      `attention: expected at most ${most} bytes of probabilities for variant batched, got ${bytes} (${B} x ${H} x ${N} x ${M})`,
    );
  const width = stored(M, dtype),
    shape = [B, H, N, width];
  const s = gemm({ a: q, b: { ...k, transposed: true, rows: M }, M: N, N: width, K: D, batch: [B, H], shape, store: "f32" }).y;
  const { config, grid } = rowPlan(s, rowVariant("softmax", s));
  return softmaxKernel(config)({
    inputs: { s },
    outputs: { p_row: { shape, dtype } },
    params: { rows: grid.rows, len: grid.len, valid: M, scale },
    groups: grid.groups,
  }).p_row;
}

/** P or its gradient as an operand. */
const square = (tensor: Tensor, { H, N, M }: Sizes): Operand => ({
  tensor,
  ld: stored(M, tensor.dtype),
  batch: [H * N * stored(M, tensor.dtype), N * stored(M, tensor.dtype)],
  padded: true,
});

/** The products that make dq, dk and dv; the caller says where each goes. dots: (B, H, N), of y's rows and dy's. */
function gradientProducts(dy: Operand, P: Tensor, dots: Tensor, { q, k, v }: Places, sizes: Sizes) {
  const { B, H, N, M, D, scale } = sizes;
  const batch = [B, H],
    width = stored(M, P.dtype);
  const shape = [B, H, N, width];
  const made = gemm({ a: dy, b: { ...v, transposed: true, rows: M }, M: N, N: width, K: D, batch, shape, softmax: { y: P, dots } }).y;
  const [p, dS] = [square(P, sizes), square(made, sizes)];
  return {
    dq: { a: dS, b: k, M: N, N: D, K: M, batch, alpha: scale },
    dk: { a: { ...dS, transposed: true }, b: q, M, N: D, K: N, batch, alpha: scale },
    dv: { a: { ...p, transposed: true }, b: dy, M, N: D, K: N, batch },
  } satisfies Readonly<Record<string, Omit<Gemm, "shape">>>;
}

const op = defineOp({
  name: "attentionBatched",
  forward([q, k, v]: [Tensor, Tensor, Tensor], sizes: Sizes) {
    const { B, H, N, M, D } = sizes;
    const P = probabilities({ q: { tensor: q }, k: { tensor: k }, v: { tensor: v } }, sizes);
    const { y } = gemm({ a: square(P, sizes), b: { tensor: v }, M: N, N: D, K: M, batch: [B, H], shape: q.shape });
    return { y, saved: { P, y } };
  },
  backward(dy, { P, y }, [q, k, v], sizes) {
    const places = { q: { tensor: q }, k: { tensor: k }, v: { tensor: v } };
    const { dq, dk, dv } = gradientProducts({ tensor: dy }, P, rowDots(y, dy, sizes, 1), places, sizes);
    return [gemm({ ...dq, shape: q.shape }).y, gemm({ ...dk, shape: k.shape }).y, gemm({ ...dv, shape: v.shape }).y];
  },
});

const thirds = (qkv: Tensor, { H, M, D }: Sizes): Places => {
  const [q, k, v] = [0, 1, 2].map((third) => ({ tensor: qkv, ...packed(H, M, D, 3, third) })) as [Operand, Operand, Operand];
  return { q, k, v };
};

const packedOp = defineOp({
  name: "attentionBatchedPacked",
  forward([qkv]: [Tensor], sizes: Sizes) {
    const { B, H, N, M, D } = sizes;
    const places = thirds(qkv, sizes);
    const P = probabilities(places, sizes);
    const { ld, batch } = packed(H, N, D, 1, 0);
    const out = { ld: ld!, batch: batch! };
    const { y } = gemm({ a: square(P, sizes), b: places.v, M: N, N: D, K: M, batch: [B, H], shape: [B, N, H * D], out });
    return { y, saved: { P, y } };
  },
  backward(dy, { P, y }, [qkv], sizes) {
    const { B, H, N, M, D } = sizes;
    const { dq, dk, dv } = gradientProducts(
      { tensor: dy, ...packed(H, N, D, 1, 0) },
      P,
      rowDots(y, dy, sizes, H),
      thirds(qkv, sizes),
      sizes,
    );
    // The first makes the tensor of all three, which lie in it as q, k and v do; the others fill in their thirds. What has not asked has zeros.
    const placed = (tokens: number) => {
      const { ld, batch } = packed(H, tokens, D, 3, 0);
      return { shape: [B, tokens, 3 * H * D], out: { ld: ld!, batch: batch! } };
    };
    const third = placed(M);
    const asked = gemm({ ...dq, ...placed(N) }).y;
    const dqkv = N === M ? asked : amongZeros(asked, third.shape, 1, 0);
    gemm({ ...dk, ...third, into: { tensor: dqkv, at: H * D } });
    gemm({ ...dv, ...third, into: { tensor: dqkv, at: 2 * H * D } });
    return [dqkv];
  },
});

/** `attention` without its checks. */
export const attentionByProducts = (q: Tensor, k: Tensor, v: Tensor, sizes: Sizes): Tensor => op([q, k, v], sizes);

/** `attentionPacked` without its checks: of M tokens the first N ask. */
export const packedAttentionByProducts = (qkv: Tensor, sizes: Sizes): Tensor => packedOp([qkv], sizes);

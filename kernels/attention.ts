/**
 * Scaled dot-product attention.
 *
 *   y_i = sum_j P_ij v_j,   P_ij = exp(s_ij) / sum_j exp(s_ij),   s_ij = scale * q_i . k_j
 *
 * Forward goes over the keys once with a running maximum, and saves L_i = log2 sum_j exp(s_ij). Backward recomputes P from it:
 *
 *   dP_ij = dy_i . v_j    delta_i = dy_i . y_i    dS_ij = P_ij (dP_ij - delta_i)
 *   dq_i = scale * sum_j dS_ij k_j    dk_j = scale * sum_i dS_ij q_i    dv_j = sum_i P_ij dy_i
 *
 * The WGSL is in attention/flash.ts; attention/batched.ts does the same by matrix products with P in memory.
 *
 * Dao et al. 2022, "FlashAttention", https://arxiv.org/abs/2205.14135
 */
import { defineOp } from "../engine/autograd.ts";
import { getDevice } from "../engine/device.ts";
import { sameShape, show } from "../engine/shape.ts";
import type { DType, Tensor } from "../engine/tensor.ts";
import { chosen } from "./shared/tuning.ts";
import { ATTENTION_VARIANTS, fusedAttention, type AttentionVariant, type FusedVariant, type Sizes } from "./attention/flash.ts";
import { attentionByProducts, packedAttentionByProducts, probabilityBytes } from "./attention/batched.ts";

export { ATTENTION_VARIANTS, type AttentionVariant };

export interface AttentionOptions {
  /** Default: D ** -0.5. */
  readonly scale?: number | undefined;
  /** Default: chosen for the adapter. */
  readonly variant?: AttentionVariant | undefined;
}

interface Fused extends Sizes {
  readonly variant: FusedVariant;
}

const op = defineOp({
  name: "attention",
  forward([q, k, v]: [Tensor, Tensor, Tensor], sizes: Fused) {
    const { forward, overQueries, stats } = fusedAttention(sizes, sizes.variant, false);
    const { y, lse } = forward({ ...overQueries, inputs: { q, k, v }, outputs: { y: q, lse: stats } });
    return { y, saved: { y, lse } };
  },
  backward(dy, { y, lse }, [q, k, v], sizes, needs) {
    const { backwardQ, backwardKV, overQueries, overKeys, stats } = fusedAttention(sizes, sizes.variant, false);
    const { dq, deltas } = backwardQ({ ...overQueries, inputs: { q, k, v, y, dy, lse }, outputs: { dq: q, deltas: stats } });
    if (!needs[1] && !needs[2]) return [dq, null, null];
    const { dk, dv } = backwardKV({ ...overKeys, inputs: { q, k, v, dy, lse, deltas }, outputs: { dk: k, dv: v } });
    return [dq, dk, dv];
  },
});

const packedOp = defineOp({
  name: "attentionPacked",
  forward([qkv]: [Tensor], sizes: Fused) {
    const { forward, overQueries, stats } = fusedAttention(sizes, sizes.variant, true);
    const { B, H, N, D } = sizes;
    const { y, lse } = forward({ ...overQueries, inputs: { qkv }, outputs: { y: { shape: [B, N, H * D], dtype: qkv.dtype }, lse: stats } });
    return { y, saved: { y, lse } };
  },
  backward(dy, { y, lse }, [qkv], sizes) {
    const { backwardQ, backwardKVPacked, overQueries, overKeys, stats } = fusedAttention(sizes, sizes.variant, true);
    const { dq: dqkv, deltas } = backwardQ({ ...overQueries, inputs: { qkv, y, dy, lse }, outputs: { dq: qkv, deltas: stats } });
    backwardKVPacked({ ...overKeys, inputs: { qkv, dy, lse, deltas }, updates: { dqkv } });
    return [dqkv];
  },
});

export const MAX_HEAD_WIDTH = 128;

/** The fastest variant by the tuning table in use, if it has this shape. */
function measured(name: string, { B, H, N, M, D }: Omit<Sizes, "scale">, training: boolean): AttentionVariant | undefined {
  const choice = chosen(`${name} ${B}x${H}x${N}x${M}x${D}${training ? " fwd+bwd" : ""}`);
  return ATTENTION_VARIANTS.find((v) => v === choice);
}

function checked(
  name: string,
  sizes: Omit<Sizes, "scale">,
  training: boolean,
  dtype: DType,
  { scale, variant = measured(name, sizes, training) }: AttentionOptions,
): Sizes & { readonly variant: AttentionVariant } {
  const { B, H, D } = sizes;
  if (D > MAX_HEAD_WIDTH) throw new Error(`${name}: expected a head width D of at most ${MAX_HEAD_WIDTH}, got ${D}`);
  const most = getDevice().limits.maxComputeWorkgroupsPerDimension;
  if (B * H > most) throw new Error(`${name}: expected at most ${most} heads over the batch, got ${B} x ${H}`);
  return { ...sizes, scale: scale ?? D ** -0.5, variant: variant ?? usual(sizes, training, dtype) };
}

// Largest P, in bytes, that is kept. On an H200 products with P in memory take 0.72 of the fused forward's time and 0.81 of its
// backward's at 197 tokens, 0.64 and 0.31 at 577 (bench/gpu, step profile).
const MOST_PROBABILITIES = 2 ** 30;

function usual(sizes: Omit<Sizes, "scale">, training: boolean, dtype: DType): AttentionVariant {
  const { adapter, limits, subgroups } = getDevice();
  // Scores are f32 beside probabilities of either type.
  const kept = probabilityBytes(sizes, dtype) <= MOST_PROBABILITIES && probabilityBytes(sizes, "f32") <= limits.maxStorageBufferBindingSize;
  if (!adapter.software) return kept ? "batched" : "shared-64";
  // On llvmpipe and SwiftShader: with gradients products take 0.54 to 0.79 of the fused kernels' time at these sizes, and 0.88 to 2.2
  // of it below; without gradients 0.9 to 1.7 (bench/results/README.md).
  return training && kept && subgroups !== null && sizes.M >= 128 && sizes.D >= 64 ? "batched" : "register";
}

/** q: (B, H, N, D); k, v: (B, H, M, D). Returns (B, H, N, D), each query attending over the M keys. */
export function attention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions = {}): Tensor {
  const [B, H, N, D] = q.shape as [number, number, number, number];
  const M = k.shape[2]!;
  if (q.shape.length !== 4 || !sameShape(k.shape, [B, H, M, D]) || !sameShape(v.shape, k.shape)) {
    throw new Error(`attention: expected q [B,H,N,D], k and v [B,H,M,D], got ${show(q.shape)}, ${show(k.shape)} and ${show(v.shape)}`);
  }
  const { variant, ...sizes } = checked(
    "attention",
    { B, H, N, M, D },
    q.requiresGrad || k.requiresGrad || v.requiresGrad,
    q.dtype,
    options,
  );
  return variant === "batched" ? attentionByProducts(q, k, v, sizes) : op([q, k, v], { ...sizes, variant });
}

export interface PackedAttentionOptions extends AttentionOptions {
  readonly heads: number;
  /** Of how many tokens, the first ones, the result is: each attends to all. Default: of all. */
  readonly queries?: number | undefined;
}

/** qkv: (B, M, 3 * H * D), its last axis laid out (3, H, D). Returns (B, queries, H * D): self-attention of H heads. */
export function attentionPacked(qkv: Tensor, { heads: H, queries, ...options }: PackedAttentionOptions): Tensor {
  const [B, M, width] = qkv.shape as [number, number, number];
  const D = width / (3 * H),
    N = queries ?? M;
  if (qkv.shape.length !== 3 || !Number.isInteger(H) || H < 1 || !Number.isInteger(D)) {
    throw new Error(`attentionPacked: expected qkv [B,N,3*${H}*D], got ${show(qkv.shape)}`);
  }
  if (!Number.isInteger(N) || N < 1 || N > M)
    throw new Error(`attentionPacked: expected 1 to ${M} queries for qkv ${show(qkv.shape)}, got ${N}`);
  const { variant, ...sizes } = checked("attentionPacked", { B, H, N, M, D }, qkv.requiresGrad, qkv.dtype, options);
  return variant === "batched" ? packedAttentionByProducts(qkv, sizes) : packedOp([qkv], { ...sizes, variant });
}

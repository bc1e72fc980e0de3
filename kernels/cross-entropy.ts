/**
 * Cross-entropy of softmax(logits) with labels or with target probabilities, mean over the batch.
 *
 *   L = -1/B sum over b, k of t[b,k] * logp[b,k],   logp = logits - logsumexp(logits)
 *
 * where t = (1 - e) * target + e/K for label smoothing e, and a label is the target that is 1 at its class. Backward:
 *
 *   dlogits[b,k] = (softmax(logits)[b,k] * sum over j of t[b,j] - t[b,k]) * dy / B
 *   dtarget[b,k] = -(1 - e) * logp[b,k] * dy / B
 *
 * Szegedy et al. 2015, "Rethinking the Inception Architecture for Computer Vision", https://arxiv.org/abs/1512.00567
 */
import { defineOp } from "../engine/autograd.ts";
import { defineKernel, kernelFamily } from "../engine/kernel.ts";
import { show } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";
import { sumTo, workgroupMax, workgroupSum } from "./reduce.ts";

const WG = 64;

type Kind = "f32" | "u32" | "i32";
const kindOf = ({ dtype }: Tensor): Kind => (dtype === "u32" || dtype === "i32" ? dtype : "f32");

// A label outside of [0, K) is no class's: nothing is read there, and its row has no label term.
const targetAt = (kind: Kind): string =>
  kind === "f32" ? "p.off + p.scale * truth[group * K + k]" : "p.off + select(0.0, p.scale, u32(truth[group]) == k)";

// One workgroup per row.
const forwardKernel = kernelFamily(({ kind }: { kind: Kind }) => defineKernel({
  name: "crossEntropy.forward",
  inputs: { logits: "f32", truth: kind }, // (B, K), (B, K) or (B)
  outputs: { rows: "f32", stats: "f32" }, // (B): each row's part of the loss; (B, 3): max, sum of exp(logits - max), sum of t
  constants: { K: "u32" },
  params: { scale: "f32", off: "f32", perRow: "f32" },
  workgroup: WG,
  helpers: workgroupSum + workgroupMax,
  code: ({ K }) => {
    const each = (body: string): string => `for (var j = 0u; j < ${Math.ceil(K / WG)}u; j++) { let k = j * WG + li; if (k < K) { ${body} } }`;
    return /* wgsl */ `
    var m = logits[group * K];
    ${each("m = max(m, logits[group * K + k]);")}
    m = workgroup_max(m, li);
    var s = 0.0;
    ${each("s += exp(logits[group * K + k] - m);")}
    s = workgroup_sum(s, li);
    let logSum = log(s);
    var loss = 0.0;
    var total = 0.0;
    ${each(`let t = ${targetAt(kind)}; total += t; loss += t * (logSum - (logits[group * K + k] - m));`)}
    loss = workgroup_sum(loss, li);
    total = workgroup_sum(total, li);
    if (li == 0u) {
      rows[group] = loss * p.perRow;
      stats[group * 3u] = m; stats[group * 3u + 1u] = s; stats[group * 3u + 2u] = total;
    }`;
  },
}));

// One workgroup per row.
const backwardKernel = kernelFamily(({ kind }: { kind: Kind }) => defineKernel({
  name: "crossEntropy.backward",
  inputs: { logits: "f32", truth: kind, stats: "f32", dy: "f32" }, // (B, K), (B, K) or (B), (B, 3), ()
  outputs: { dlogits: "f32" }, // (B, K)
  constants: { K: "u32" },
  params: { scale: "f32", off: "f32", perRow: "f32" },
  workgroup: WG,
  code: /* wgsl */ `
    for (var j = 0u; j < (K + WG - 1u) / WG; j++) {
      let k = j * WG + li;
      if (k < K) {
        let softmax = exp(logits[group * K + k] - stats[group * 3u]) / stats[group * 3u + 1u];
        dlogits[group * K + k] = (softmax * stats[group * 3u + 2u] - (${targetAt(kind)})) * p.perRow * dy[0];
      }
    }`,
}));

// One workgroup per row.
const backwardTargetKernel = defineKernel({
  name: "crossEntropy.backwardTarget",
  inputs: { logits: "f32", stats: "f32", dy: "f32" }, // (B, K), (B, 3), ()
  outputs: { dtarget: "f32" }, // (B, K)
  constants: { K: "u32" },
  params: { scale: "f32" },
  workgroup: WG,
  code: /* wgsl */ `
    for (var j = 0u; j < (K + WG - 1u) / WG; j++) {
      let k = j * WG + li;
      if (k < K) { dtarget[group * K + k] = (log(stats[group * 3u + 1u]) - (logits[group * K + k] - stats[group * 3u])) * p.scale * dy[0]; }
    }`,
});

const op = defineOp({
  name: "crossEntropy",
  forward([logits, target]: [Tensor, Tensor], { labelSmoothing }: { labelSmoothing: number }) {
    const [B, K] = logits.shape as [number, number];
    const sizes = { constants: { K }, params: { scale: 1 - labelSmoothing, off: labelSmoothing / K, perRow: 1 / B }, groups: B };
    const { rows, stats } = forwardKernel({ kind: kindOf(target) })({ ...sizes, inputs: { logits, truth: target }, outputs: { rows: [B], stats: [B, 3] } });
    return { y: sumTo(rows, []), saved: { stats, sizes } };
  },
  backward(dy, { stats, sizes }, [logits, target], _, needs) {
    const { constants, params: { scale, perRow }, groups } = sizes;
    const dlogits = needs[0]
      ? backwardKernel({ kind: kindOf(target) })({ ...sizes, inputs: { logits, truth: target, stats, dy }, outputs: { dlogits: logits.shape }, store: { dlogits: logits.dtype } }).dlogits
      : null;
    const dtarget = needs[1]
      ? backwardTargetKernel({ inputs: { logits, stats, dy }, outputs: { dtarget: target.shape }, store: { dtarget: target.dtype }, constants, params: { scale: scale * perRow }, groups }).dtarget
      : null;
    return [dlogits, dtarget];
  },
});

/** logits: (B, K); target: (B, K) probabilities, or (B) labels as u32 or i32. Returns (): the mean over the batch. */
export function crossEntropy(logits: Tensor, target: Tensor, { labelSmoothing = 0 }: { readonly labelSmoothing?: number } = {}): Tensor {
  const [B, K] = logits.shape;
  if (logits.shape.length !== 2) throw new Error(`crossEntropy: expected logits [B,K], got ${show(logits.shape)}`);
  const fits = target.dtype === "f32" || target.dtype === "f16"
    ? target.shape.length === 2 && target.shape[0] === B && target.shape[1] === K
    : (target.dtype === "u32" || target.dtype === "i32") && target.shape.length === 1 && target.shape[0] === B;
  if (!fits) {
    throw new Error(`crossEntropy: expected f32 probabilities [${B},${K}] or u32 or i32 labels [${B}] for logits ${show(logits.shape)}, got ${target.dtype} ${show(target.shape)}`);
  }
  if (!(labelSmoothing >= 0 && labelSmoothing <= 1)) throw new Error(`crossEntropy: expected labelSmoothing in [0, 1], got ${labelSmoothing}`);
  return op([logits, target], { labelSmoothing });
}

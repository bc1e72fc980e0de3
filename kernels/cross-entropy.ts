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
import { sumTo } from "./shared/reduce.ts";
import { rowPlan, rowWords, vectors, type RowConfig } from "./rows/rows.ts";
import { rowVariant, type RowVariant } from "./rows/variants.ts";
import { unroll } from "./shared/unroll.ts";

const WG = 256;

type Kind = "f32" | "u32" | "i32";
const kindOf = ({ dtype }: Tensor): Kind => (dtype === "u32" || dtype === "i32" ? dtype : "f32");

interface Config extends RowConfig {
  readonly kind: Kind;
}

// Forward: a row kernel (rows/rows.ts). Backward: one thread per vector. `p.len` counts vectors of a row, `i` all of them.
const kernels = kernelFamily(({ kind, shape, W }: Config) => {
  const w = rowWords(shape);
  const { T, total, most } = vectors(W);
  const truth = kind === "f32" ? T : kind;
  // A label outside [0, K) matches no class: the row keeps only its smoothing term.
  const classes = (i: string) => (W === 1 ? `(${i})` : `vec${W}u(${W}u * (${i})) + vec${W}u(${unroll(W, (k) => `${k}u`, ", ")})`);
  const target = (t: string, i: string) =>
    kind === "f32"
      ? `${T}(p.off) + p.scale * ${t}`
      : `${T}(p.off) + select(${T}(0.0), ${T}(p.scale), ${W === 1 ? t : `vec${W}u(${t})`} == ${classes(i)})`;
  const of = (array: string) => (at: string) => `${array}[${at}]`;
  const given = w.row(T, { z: of("logits"), ...(kind === "f32" ? { t: of("truth") } : {}) } as Record<"z" | "t", (at: string) => string>);
  const params = { rows: "u32", len: "u32", scale: "f32", off: "f32", perRow: "f32" } as const;
  const each = (body: string) => `let i = group * WG + li; if (i < p.rows * p.len) { let row = i / p.len; ${body} }`;
  return {
    forward: defineKernel({
      name: "crossEntropy.forward",
      inputs: { logits: T, truth }, // (B, K), (B, K) or (B)
      outputs: { losses: "f32", stats: "f32" }, // (B): each row's part of the loss; (B, 3): max, sum of exp(logits - max), sum of t
      params,
      ...w.threads,
      code: w.code(/* wgsl */ `
    let first = row * p.len;
    ${kind === "f32" ? "" : "let label = u32(truth[row]);"}
    ${given.load}
    var m = -3.4e38;
    ${given.each(({ z }) => `let v = ${z}; m = max(m, ${most("v")});`)}
    ${w.max("m")}
    var s = 0.0;
    var total = 0.0;
    var along = 0.0; // sum of t * (logits - max)
    ${given.each(({ z, t = "label", i }) => `let v = ${z} - ${T}(m); let t = ${target(t, i)}; s += ${total("exp(v)")}; total += ${total("t")}; along += ${W === 1 ? "t * v" : "dot(t, v)"};`)}
    ${w.sum("s", "total", "along")}
    if (${w.leads}) {
      losses[row] = (log(s) * total - along) * p.perRow;
      stats[row * 3u] = m; stats[row * 3u + 1u] = s; stats[row * 3u + 2u] = total;
    }`),
    }),
    backward: defineKernel({
      name: "crossEntropy.backward",
      inputs: { logits: T, truth, stats: "f32", dy: "f32" }, // (B, K), (B, K) or (B), (B, 3), ()
      outputs: { dlogits: T }, // (B, K)
      params,
      workgroup: { upTo: WG },
      code: each(`
      let softmax = exp(logits[i] - ${T}(stats[row * 3u])) / stats[row * 3u + 1u];
      dlogits[i] = (softmax * stats[row * 3u + 2u] - (${target(kind === "f32" ? "truth[i]" : "u32(truth[row])", "i - row * p.len")})) * p.perRow * dy[0];`),
    }),
    backwardTarget: defineKernel({
      name: "crossEntropy.backwardTarget",
      inputs: { logits: T, stats: "f32", dy: "f32" }, // (B, K), (B, 3), ()
      outputs: { dtarget: T }, // (B, K)
      params,
      workgroup: { upTo: WG },
      code: each(`dtarget[i] = (${T}(log(stats[row * 3u + 1u]) + stats[row * 3u]) - logits[i]) * p.scale * p.perRow * dy[0];`),
    }),
  };
});

const op = defineOp({
  name: "crossEntropy",
  forward([logits, target]: [Tensor, Tensor], { labelSmoothing, variant }: { labelSmoothing: number; variant: RowVariant }) {
    const {
      config: rowConfig,
      grid: { rows, D: K, len, groups },
    } = rowPlan(logits, variant);
    const config: Config = { kind: kindOf(target), ...rowConfig };
    const params = { rows, len, scale: 1 - labelSmoothing, off: labelSmoothing / K, perRow: 1 / rows };
    const { losses, stats } = kernels(config).forward({
      params,
      groups,
      inputs: { logits, truth: target },
      outputs: { losses: [rows], stats: [rows, 3] },
    });
    return { y: sumTo(losses, []), saved: { stats, config, grid: { params, threads: rows * len } } };
  },
  backward(dy, { stats, config, grid }, [logits, target], _, needs) {
    const { backward, backwardTarget } = kernels(config);
    const dlogits = needs[0]
      ? backward({ ...grid, inputs: { logits, truth: target, stats, dy }, outputs: { dlogits: logits } }).dlogits
      : null;
    const dtarget = needs[1] ? backwardTarget({ ...grid, inputs: { logits, stats, dy }, outputs: { dtarget: target } }).dtarget : null;
    return [dlogits, dtarget];
  },
});

/** logits: (B, K); target: (B, K) probabilities, or (B) labels as u32 or i32. Returns (): the mean over the batch. */
export function crossEntropy(
  logits: Tensor,
  target: Tensor,
  { labelSmoothing = 0, variant }: { readonly labelSmoothing?: number; readonly variant?: RowVariant | undefined } = {},
): Tensor {
  const [B, K] = logits.shape;
  if (logits.shape.length !== 2) throw new Error(`crossEntropy: expected logits [B,K], got ${show(logits.shape)}`);
  const fits =
    target.dtype === "f32" || target.dtype === "f16"
      ? target.shape.length === 2 && target.shape[0] === B && target.shape[1] === K
      : (target.dtype === "u32" || target.dtype === "i32") && target.shape.length === 1 && target.shape[0] === B;
  if (!fits) {
    throw new Error(
      `crossEntropy: expected f32 probabilities [${B},${K}] or u32 or i32 labels [${B}] for logits ${show(logits.shape)}, got ${target.dtype} ${show(target.shape)}`,
    );
  }
  if (!(labelSmoothing >= 0 && labelSmoothing <= 1))
    throw new Error(`crossEntropy: expected labelSmoothing in [0, 1], got ${labelSmoothing}`);
  return op([logits, target], { labelSmoothing, variant: rowVariant("crossEntropy", logits, variant) });
}

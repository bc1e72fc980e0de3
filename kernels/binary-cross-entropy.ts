/**
 * Binary cross-entropy of sigmoid(logits) with targets in [0, 1], each class a question of its own; mean over the batch and its classes.
 *
 *   L = 1/(B K) sum over b, k of  max(z, 0) - z t + log(1 + exp(-|z|)),   z = logits[b,k]
 *   dlogits[b,k] = (sigmoid(z) - t) * dy / (B K)
 *
 * where t is the target; with a threshold 1 where the target is above it, else 0; with smoothing e, for labels, (1 - e) onehot + e/K.
 * No gradient flows to the target.
 *
 * As PyTorch's `BCEWithLogitsLoss` and timm's `BinaryCrossEntropy`. For ImageNet: Beyer et al. 2020, https://arxiv.org/abs/2006.07159
 */
import { defineOp } from "../engine/autograd.ts";
import { defineKernel, kernelFamily } from "../engine/kernel.ts";
import { show } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";
import { sumTo } from "./shared/reduce.ts";

const WG = 256;
/** Classes that one thread adds up. */
const SHARE = 16;

type Kind = "f32" | "u32" | "i32";

interface Config {
  readonly kind: Kind;
  readonly thresholded: boolean;
}

/** log(1 + u) for u in [0, 1], as 2 atanh(u / (2 + u)): a plain log loses the small ones. */
const LOG1P = /* wgsl */ `
fn log1p(u: f32) -> f32 {
  let s = u / (2.0 + u);
  let q = s * s;
  return 2.0 * s * (1.0 + q * (1.0 / 3.0 + q * (1.0 / 5.0 + q * (1.0 / 7.0 + q * (1.0 / 9.0 + q * (1.0 / 11.0 + q / 13.0))))));
}
`;

const kernels = kernelFamily(({ kind, thresholded }: Config) => {
  const given = kind === "f32" ? "truth[i]" : "p.off + select(0.0, p.on, u32(truth[i / p.K]) == i % p.K)";
  const target = thresholded ? `select(0.0, 1.0, (${given}) > p.threshold)` : given;
  const params = { n: "u32", K: "u32", on: "f32", off: "f32", threshold: "f32", each: "f32" } as const;
  return {
    // One thread per SHARE logits.
    forward: defineKernel({
      name: "binaryCrossEntropy.forward",
      inputs: { logits: "f32", truth: kind }, // (B, K), (B, K) or (B)
      outputs: { losses: "f32" }, // (n / SHARE): parts of the mean
      params,
      constants: { SHARE: "u32" },
      workgroup: { upTo: WG },
      helpers: LOG1P,
      code: /* wgsl */ `
    let t = group * WG + li;
    if (t * SHARE >= p.n) { return; }
    var sum = 0.0;
    for (var i = t * SHARE; i < min(t * SHARE + SHARE, p.n); i++) {
      let z = logits[i];
      sum += max(z, 0.0) - z * (${target}) + log1p(exp(-abs(z)));
    }
    losses[t] = sum * p.each;`,
    }),
    // One thread per logit.
    backward: defineKernel({
      name: "binaryCrossEntropy.backward",
      inputs: { logits: "f32", truth: kind, dy: "f32" }, // (B, K), (B, K) or (B), ()
      outputs: { dlogits: "f32" }, // (B, K)
      params,
      workgroup: { upTo: WG },
      code: /* wgsl */ `
    let i = group * WG + li;
    if (i >= p.n) { return; }
    let e = exp(-abs(logits[i]));
    dlogits[i] = (select(1.0, e, logits[i] < 0.0) / (1.0 + e) - (${target})) * p.each * dy[0];`,
    }),
  };
});

interface Attrs {
  readonly labelSmoothing: number;
  readonly threshold: number | null;
}

const op = defineOp({
  name: "binaryCrossEntropy",
  forward([logits, target]: [Tensor, Tensor], { labelSmoothing: e, threshold }: Attrs) {
    const [B, K] = logits.shape as [number, number];
    const kind = target.dtype === "u32" || target.dtype === "i32" ? target.dtype : "f32";
    const config: Config = { kind, thresholded: threshold !== null };
    const params = { n: B * K, K, on: 1 - e, off: e / K, threshold: threshold ?? 0, each: 1 / (B * K) };
    const threads = Math.ceil((B * K) / SHARE);
    const { losses } = kernels(config).forward({
      inputs: { logits, truth: target },
      outputs: { losses: [threads] },
      ...{ params, threads, constants: { SHARE } },
    });
    return { y: sumTo(losses, []), saved: { config, params } };
  },
  backward(dy, { config, params }, [logits, target]) {
    const grid = { params, threads: params.n };
    return [kernels(config).backward({ inputs: { logits, truth: target, dy }, outputs: { dlogits: logits }, ...grid }).dlogits, null];
  },
});

/**
 * logits: (B, K); target: (B, K) in [0, 1], or (B) labels as u32 or i32, which `labelSmoothing` applies to. `threshold`: targets above it count
 * as 1, the others as 0. Returns (): the mean over batch and classes. Throws for shapes that do not fit and for a target with a gradient.
 */
export function binaryCrossEntropy(
  logits: Tensor,
  target: Tensor,
  { labelSmoothing = 0, threshold = null }: { readonly labelSmoothing?: number; readonly threshold?: number | null } = {},
): Tensor {
  const [B, K] = logits.shape;
  if (logits.shape.length !== 2) throw new Error(`binaryCrossEntropy: expected logits [B,K], got ${show(logits.shape)}`);
  const labels = target.dtype === "u32" || target.dtype === "i32";
  if (String(target.shape) !== String(labels ? [B] : [B, K]) || target.dtype === "u8")
    throw new Error(
      `binaryCrossEntropy: expected targets [${B},${K}] or u32 or i32 labels [${B}] for logits ${show(logits.shape)}, got ${target.dtype} ${show(target.shape)}`,
    );
  if (target.requiresGrad) throw new Error("binaryCrossEntropy: expected a target without gradient, got one with it");
  if (!(labelSmoothing >= 0 && labelSmoothing <= 1))
    throw new Error(`binaryCrossEntropy: expected labelSmoothing in [0, 1], got ${labelSmoothing}`);
  if (threshold !== null && !Number.isFinite(threshold))
    throw new Error(`binaryCrossEntropy: expected a threshold of a number or null, got ${threshold}`);
  return op([logits, target], { labelSmoothing, threshold });
}

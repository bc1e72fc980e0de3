/**
 * A model's classifiers: their parameters' names, and how the two of a distilled model answer together.
 *
 * The official code averages logits; the text of https://arxiv.org/abs/2012.12877, section 5, adds the two softmax outputs. They can differ in
 * their first class. Either head may also answer alone.
 */
import type { Shape } from "../engine/shape.ts";

/** Whether a parameter belongs to a classifier: of DeiT, its distillation head, RegNet, ResNet or ConvNeXt, by timm's names. */
export const isHead = (name: string): boolean => /^(head(_dist|\.fc)?|fc)\.(weight|bias)$/.test(name);

/** The number of classes that a state's classifier has; 0 where it has none. */
export const classesIn = (state: ReadonlyMap<string, { readonly shape: Shape }>): number =>
  (state.get("head.weight") ?? state.get("head.fc.weight") ?? state.get("fc.weight"))?.shape[0] ?? 0;

/** Whether a parameter belongs to the distillation head. */
export const isDistillationHead = (name: string): boolean => isHead(name) && name.startsWith("head_dist.");

export const headChoices = ["mean", "softmax-sum", "cls", "dist"] as const;

export type HeadChoice = (typeof headChoices)[number];

/**
 * Logits [B,K] of the class head and the distillation head (`null` in a plain model) to the answer's, computed in f64. For "softmax-sum" they
 * are the logarithms of the mean probabilities: their softmax, cross-entropy and order are those of the sum.
 * Throws where a plain model is asked for more than its one head.
 */
export function combineHeads(choice: HeadChoice, cls: Float32Array, dist: Float32Array | null, numClasses: number): Float32Array {
  if (!dist) {
    if (choice === "softmax-sum" || choice === "dist")
      throw new Error(`head: expected a distilled model for "${choice}", got one with a single head`);
    return cls;
  }
  if (choice === "cls") return cls;
  if (choice === "dist") return dist;
  if (choice === "mean") return cls.map((v, i) => (v + dist[i]!) / 2);
  const combined = new Float32Array(cls.length);
  for (let at = 0; at < cls.length; at += numClasses) {
    const [a, b] = [cls, dist].map((logits) => logProbabilities(logits.subarray(at, at + numClasses)));
    // log((e^a + e^b) / 2), by the larger of the two, so that small probabilities keep their order.
    for (let k = 0; k < numClasses; k++) {
      const [low, high] = a![k]! < b![k]! ? [a![k]!, b![k]!] : [b![k]!, a![k]!];
      combined[at + k] = high + Math.log1p(Math.exp(low - high)) - Math.LN2;
    }
  }
  return combined;
}

function logProbabilities(logits: Float32Array): Float64Array {
  const max = logits.reduce((a, v) => Math.max(a, v), -Infinity);
  const logSum = max + Math.log(logits.reduce((sum, v) => sum + Math.exp(v - max), 0));
  return Float64Array.from(logits, (v) => v - logSum);
}

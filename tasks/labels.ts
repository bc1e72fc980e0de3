/** Names of a model's classes, and its most probable classes. */
import type { Prediction } from "./api.ts";

const IMAGENET = 1000;

/** `given` if there are names; else ImageNet's for 1,000 classes (loaded when needed), else the classes' numbers. */
export async function classLabels(numClasses: number, given: readonly string[] | undefined): Promise<readonly string[]> {
  if (given) return given;
  return numClasses === IMAGENET ? imagenetLabels() : Array.from({ length: numClasses }, (_, i) => String(i));
}

export const imagenetLabels = async (): Promise<readonly string[]> => (await import("./imagenet.ts")).IMAGENET_LABELS;

/** The k most probable classes; equal ones in the order of their numbers. */
export function topOf(logits: Float32Array, labels: readonly string[], k: number): Prediction[] {
  const max = logits.reduce((a, v) => Math.max(a, v), -Infinity);
  const e = Array.from(logits, (v) => Math.exp(v - max));
  const sum = e.reduce((a, v) => a + v, 0);
  return e
    .map((v, index) => ({ label: labels[index]!, index, probability: v / sum }))
    .sort((a, b) => b.probability - a.probability || a.index - b.index)
    .slice(0, k);
}

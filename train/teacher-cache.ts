/**
 * Teacher logits computed once, for every training image without augmentation, instead of at each step for the augmented images. Saves
 * the teacher's forward, at a price: crops and colour changes do not change the teacher's logits.
 */
import { Evaluator } from "./evaluate.ts";
import type { Model } from "../models/model.ts";
import type { Params } from "../models/params.ts";
import type { ImagePlatform, ImageSource } from "./input/source.ts";
import type { Normalization } from "./input/step-input.ts";

interface CacheOptions {
  readonly platform: ImagePlatform;
  readonly workers?: number | undefined;
  readonly normalization: Normalization;
  readonly recipe: { readonly batchSize: number };
}

/** Logits (count, K) of all images. */
export async function computeTeacherLogits(
  { model, params }: { readonly model: Model; readonly params: Params },
  images: ImageSource,
  o: CacheOptions,
): Promise<Float32Array> {
  const evaluator = await Evaluator.create(model, params, o.normalization, Math.min(images.count, o.recipe.batchSize));
  try {
    return (await evaluator.logits(images, o))[0]!;
  } finally {
    evaluator.dispose();
  }
}

/**
 * The cached logits of a batch, (B, K). For mixed images: the logarithm of both images' probabilities, mixed by the shares of their
 * labels. In every group of `groupSize` images the first is mixed with the last, the second with the last but one, and so on.
 */
export function cachedLogits(
  teacherLogits: Float32Array,
  images: Uint32Array,
  shares: { readonly own: readonly number[]; readonly groupSize: number } | null,
  K: number,
): Float32Array {
  const B = images.length;
  const row = (b: number) => teacherLogits.subarray(images[b]! * K, (images[b]! + 1) * K);
  const out = new Float32Array(B * K);
  if (!shares) {
    for (let b = 0; b < B; b++) out.set(row(b), b * K);
    return out;
  }
  const { own, groupSize } = shares;
  const probabilities = Array.from({ length: B }, (_, b) => softmax(row(b)));
  for (let b = 0; b < B; b++) {
    for (let k = 0; k < K; k++) {
      const p = own[b]! * probabilities[b]![k]! + (1 - own[b]!) * probabilities[b + groupSize - 1 - 2 * (b % groupSize)]![k]!;
      out[b * K + k] = Math.log(Math.max(p, 1e-30));
    }
  }
  return out;
}

function softmax(logits: Float32Array): Float64Array {
  const max = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const e = Float64Array.from(logits, (v) => Math.exp(v - max));
  const sum = e.reduce((a, b) => a + b, 0);
  return e.map((v) => v / sum);
}

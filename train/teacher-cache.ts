/**
 * A teacher that answers once: its logits for every training image as it is, instead of for what each step makes of it. Cheaper by the
 * teacher's forward, and weaker: crops and colours that change what is to be seen do not change the answer.
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
export async function teacherAnswers(
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
 * The answers for a batch (B, K), as logits: of each image alone, or where images are mixed, the logarithm of both answers' probabilities
 * mixed in the shares of the labels. As images are, of every `mates` the first is mixed with the last, and so on.
 */
export function cachedLogits(
  answers: Float32Array,
  images: Uint32Array,
  shares: { readonly own: readonly number[]; readonly mates: number } | null,
  K: number,
): Float32Array {
  const B = images.length;
  const row = (b: number) => answers.subarray(images[b]! * K, (images[b]! + 1) * K);
  const out = new Float32Array(B * K);
  if (!shares) {
    for (let b = 0; b < B; b++) out.set(row(b), b * K);
    return out;
  }
  const { own, mates } = shares;
  const probabilities = Array.from({ length: B }, (_, b) => softmax(row(b)));
  for (let b = 0; b < B; b++) {
    for (let k = 0; k < K; k++) {
      const p = own[b]! * probabilities[b]![k]! + (1 - own[b]!) * probabilities[b + mates - 1 - 2 * (b % mates)]![k]!;
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

/** Accuracy and loss of a model on a set of images. */
import { noGrad } from "../engine/autograd.ts";
import { record, type Plan } from "../engine/plan.ts";
import { readAll, Tensor } from "../engine/tensor.ts";
import { normalizeImages } from "../kernels/augment/normalize.ts";
import { combineHeads, type HeadChoice } from "../models/heads.ts";
import type { Model } from "../models/model.ts";
import type { Params } from "../models/params.ts";
import { preprocessing, type Placing } from "../models/images/protocols.ts";
import { InputPipeline } from "./input/pipeline.ts";
import type { ImagePlatform, ImageSource } from "./input/source.ts";
import type { Normalization } from "./input/step-input.ts";

/** Score of one head, or of the mean of both. */
export interface Score {
  readonly top1: number;
  readonly top5: number;
  /** Mean cross-entropy. */
  readonly loss: number;
}

export interface Evaluation {
  readonly count: number;
  /** Score of the model's answer: the class head, or the mean of both heads. */
  readonly model: Score;
  /** Only of distilled models. */
  readonly cls?: Score;
  readonly dist?: Score;
  readonly imagesPerSecond: number;
  /** Images that could not be read or decoded, and are not in `count`; absent where there are none. */
  readonly leftOut?: readonly LeftOutImage[];
}

/** `name` is the file, or its place in one. */
export interface LeftOutImage {
  readonly name: string;
  readonly reason: string;
}

export interface EvaluateOptions {
  readonly platform: ImagePlatform;
  readonly workers?: number | undefined;
  /** Resize and crop of images that do not have the model's size; default: the official 256 to 224, in proportion. */
  readonly placing?: Placing | undefined;
  /** How a distilled model's heads are combined; default: the mean of their logits. */
  readonly head?: HeadChoice | undefined;
  readonly onProgress?: (done: number) => void;
  /** Called with what `logits` gives, before it is scored. */
  readonly onLogits?: (logits: readonly Float32Array[]) => void;
  /** Called for an image that cannot be read or decoded, which is then left out. Without it, such an image is an error. */
  readonly onCorrupt?: ((image: LeftOutImage & { readonly index: number }) => void) | undefined;
}

/** A batch of images, to be written, and the launches that make [logits] of it, and those of both heads of a distilled model. */
export function draftEvaluation(
  model: Model,
  params: Params,
  normalization: Normalization,
  batchSize: number,
): { readonly images: Tensor; readonly body: () => Tensor[] } {
  const images = Tensor.zeros([batchSize, ...model.imageShape], "u8");
  const body = () =>
    noGrad(() => {
      const { logits, logitsCls, logitsDist } = model.forward(params, normalizeImages(images, normalization));
      return logitsDist ? [logits, logitsCls, logitsDist] : [logits];
    });
  return { images, body };
}

export class Evaluator {
  readonly #model: Model;
  readonly #images: Tensor;
  readonly #plan: Plan<Tensor[]>;

  private constructor(model: Model, images: Tensor, plan: Plan<Tensor[]>) {
    this.#model = model;
    this.#images = images;
    this.#plan = plan;
  }

  /** Records the forward for batches of this size, and compiles its pipelines beside each other. `params` may change between runs. */
  static async create(
    model: Model,
    params: Params,
    normalization: Normalization,
    batchSize: number,
    onCompile?: (done: number, total: number) => void,
  ): Promise<Evaluator> {
    const { images, body } = draftEvaluation(model, params, normalization, batchSize);
    const plan = await record(body, { label: "evaluation", ...(onCompile ? { onCompile } : {}) }).catch((error: unknown) => {
      images.dispose();
      throw error;
    });
    return new Evaluator(model, images, plan);
  }

  /**
   * Logits [count, K] of each output: the model's own, then the two heads' of a distilled model. Rows of images that `onCorrupt` was told of
   * are NaN.
   */
  async logits(images: ImageSource, { platform, workers = 0, placing, onProgress, onCorrupt }: EvaluateOptions): Promise<Float32Array[]> {
    const [B, , side] = this.#images.shape as [number, number, number, number];
    const K = this.#model.numClasses;
    const all = this.#plan.result.map(() => new Float32Array(images.count * K));
    const ready = String(images.shape) === String(this.#model.imageShape);
    const pipeline = new InputPipeline(images, {
      batchSize: B,
      order: () => ({ images: Uint32Array.from({ length: images.count }, (_, i) => i) }),
      prepare: ready ? { kind: "decode" } : { kind: "evaluate", placing: placing ?? preprocessing("official", this.#model.name, side) },
      platform,
      workers,
      epochs: 1,
      keepLast: true,
      maxCorrupt: onCorrupt ? 1 : 0,
      ...(onCorrupt ? { onCorrupt } : {}),
    });
    try {
      for (let at = 0; at < images.count; at += B) {
        const { bytes, images: shown } = await pipeline.next();
        const batch = new Uint8Array(this.#images.size); // the last batch is filled up with black images, whose logits are not used
        batch.set(bytes);
        this.#images.write(batch);
        this.#plan.run();
        const parts = (await readAll(this.#plan.result)) as Float32Array[];
        parts.forEach((part, i) => all[i]!.set(part.subarray(0, shown.length * K), at * K));
        // The pipeline puts another image in a corrupt one's place.
        shown.forEach((n, k) => n === at + k || all.forEach((logits) => logits.fill(NaN, (at + k) * K, (at + k + 1) * K)));
        onProgress?.(at + shown.length);
      }
    } finally {
      await pipeline.close();
    }
    return all;
  }

  async evaluate(images: ImageSource, options: EvaluateOptions): Promise<Evaluation> {
    if (images.classes.length !== this.#model.numClasses) {
      throw new Error(`evaluate: expected ${this.#model.numClasses} classes, got ${images.classes.length}`);
    }
    const startMs = performance.now();
    const leftOut: (LeftOutImage & { readonly index: number })[] = [];
    const { onCorrupt } = options;
    const logits = await this.logits(images, {
      ...options,
      ...(onCorrupt ? { onCorrupt: (image) => (leftOut.push(image), onCorrupt(image)) } : {}),
    });
    options.onLogits?.(logits);
    const without = new Set(leftOut.map(({ index }) => index));
    const kept = Array.from({ length: images.count }, (_, i) => i).filter((i) => !without.has(i));
    const [own, ...heads] = logits.map((all) => (without.size > 0 ? rowsOf(all, kept, this.#model.numClasses) : all));
    const [cls = own!, dist = null] = heads;
    const answer = options.head === undefined ? own! : combineHeads(options.head, cls, dist, this.#model.numClasses);
    const seconds = (performance.now() - startMs) / 1000;
    const labels = Uint32Array.from(kept, (i) => images.label(i));
    const scored = (rows: Float32Array) => score(rows, labels, this.#model.numClasses, (n) => images.name(kept[n]!));
    return {
      count: kept.length,
      model: scored(answer),
      ...(dist ? { cls: scored(cls), dist: scored(dist) } : {}),
      imagesPerSecond: kept.length / seconds,
      ...(without.size > 0 ? { leftOut: leftOut.map(({ name, reason }) => ({ name, reason })) } : {}),
    };
  }

  dispose(): void {
    this.#plan.dispose();
    this.#images.dispose();
  }
}

function rowsOf(logits: Float32Array, rows: readonly number[], K: number): Float32Array {
  const out = new Float32Array(rows.length * K);
  rows.forEach((row, n) => out.set(logits.subarray(row * K, (row + 1) * K), n * K));
  return out;
}

/** Top-1, top-5 and cross-entropy from logits [N,K] and N labels; ties go to the lower class. In f64. `name` is what errors call image n. */
export function score(
  logits: Float32Array,
  labels: ArrayLike<number>,
  K: number,
  name: (n: number) => string = (n) => `image ${n}`,
): Score {
  let top1 = 0,
    top5 = 0,
    loss = 0;
  const N = labels.length;
  for (let n = 0; n < N; n++) {
    const row = logits.subarray(n * K, (n + 1) * K);
    const label = labels[n]!;
    const own = row[label]!;
    let rank = 0,
      max = -Infinity,
      sum = 0;
    for (let k = 0; k < K; k++) {
      if (!Number.isFinite(row[k]!)) throw new Error(`evaluate: expected finite logits, got ${row[k]} for ${name(n)}`);
      if (row[k]! > own || (row[k] === own && k < label)) rank++;
      max = Math.max(max, row[k]!);
    }
    for (let k = 0; k < K; k++) sum += Math.exp(row[k]! - max);
    if (rank < 1) top1++;
    if (rank < 5) top5++;
    loss += max + Math.log(sum) - own;
  }
  return { top1: top1 / N, top5: top5 / N, loss: loss / N };
}

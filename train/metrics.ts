/** The metrics that a run reports while it trains. */
import { readAll, type Tensor } from "../engine/tensor.ts";
import type { Evaluation } from "./evaluate.ts";
import type { TrainStep } from "./step.ts";

export interface StepMetrics {
  readonly kind: "step";
  readonly epoch: number;
  readonly step: number;
  readonly totalSteps: number;
  readonly lr: number;
  readonly loss: number;
  readonly base: number;
  readonly distill: number;
  readonly gradNorm: number;
  /** False: the gradients were not finite and the update was skipped. */
  readonly finite: boolean;
  /** With f16: the factor of the next loss. */
  readonly lossScale?: number;
  readonly trainTop1: number;
  readonly imagesPerSecond: number;
  /** Share of the time since the previous step spent waiting for images, in [0, 1]. */
  readonly inputWait: number;
}

export interface EpochMetrics {
  readonly kind: "epoch";
  readonly epoch: number;
  readonly step: number;
  readonly trainLoss: number;
  readonly trainTop1: number;
  readonly test: Evaluation;
  readonly seconds: number;
  /** Share of the epoch's time spent waiting for images, in [0, 1]. */
  readonly inputWait: number;
}

/** One batch's results. */
interface BatchNumbers {
  readonly loss: number;
  readonly base: number;
  readonly distill: number;
  readonly correct: number;
  readonly update: Update | null;
}

/** An update's results: the gradients' norm, 1 if they were finite, the loss scale in f16. */
type Update = readonly [norm: number, finite: number, lossScale: number | null];

/** Copies a batch's results now, so that later work does not change them. */
export async function readBatch({ batch, lossScale }: TrainStep): Promise<BatchNumbers> {
  const { loss, base, distill, norm, correct } = batch.result;
  const [l, b, d, c, ...u] = await readAll([loss, base, distill ?? base, correct, ...(norm ? updated(norm, lossScale) : [])]);
  return { loss: l![0]!, base: b![0]!, distill: distill ? d![0]! : 0, correct: c![0]!, update: norm ? updateOf(u) : null };
}

const updated = (norm: Tensor, lossScale: Tensor | null): Tensor[] => (lossScale ? [norm, lossScale] : [norm]);
const updateOf = ([norm, scale]: readonly ArrayLike<number>[]): Update => [norm![0]!, norm![1]!, scale ? scale[0]! : null];

/** Combines the numbers of an update's batches. */
export async function readStep(step: TrainStep, batches: readonly Promise<BatchNumbers>[], images: number) {
  const own = step.update ? readAll(updated(step.update.result, step.lossScale)).then(updateOf) : null;
  const [update, ...parts] = await Promise.all([own, ...batches]);
  const [gradNorm, flag, lossScale] = update ?? parts[0]!.update!;
  const mean = (of: (part: BatchNumbers) => number) => parts.reduce((sum, part) => sum + of(part), 0) / parts.length;
  const loss = mean((p) => p.loss);
  const correct = parts.reduce((sum, p) => sum + p.correct, 0);
  return {
    loss,
    base: mean((p) => p.base),
    distill: mean((p) => p.distill),
    gradNorm,
    finite: flag === 1 && Number.isFinite(loss),
    ...(lossScale === null ? {} : { lossScale }),
    correct,
    trainTop1: correct / images,
  };
}

/** Images per second of a typical step: the median, which slow first runs (drivers compile) and evaluations do not change. */
export class Throughput {
  readonly #batch: number;
  readonly #ms: number[] = [];
  #lastMs: number | null = null;

  constructor(batch: number) {
    this.#batch = batch;
  }

  tick(): void {
    const now = performance.now();
    if (this.#lastMs !== null) this.#ms.push(now - this.#lastMs);
    if (this.#ms.length > RECENT) this.#ms.shift();
    this.#lastMs = now;
  }

  pause(): void {
    this.#lastMs = null;
  }

  get imagesPerSecond(): number {
    const sorted = [...this.#ms].sort((a, b) => a - b);
    return sorted.length === 0 ? 0 : (this.#batch * 1000) / sorted[sorted.length >> 1]!;
  }
}

/** Number of steps that the rate is computed over. */
const RECENT = 99;

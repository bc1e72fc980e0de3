/**
 * Training, from images to a trained model: the loop as the official DeiT code runs it, on recorded steps.
 *
 * Everything random depends on (seed, epoch, step, image) alone, so a run that was stopped goes on with the same bits.
 */
import { readAll } from "../engine/tensor.ts";
import type { Model } from "../models/model.ts";
import { ParameterStore, initialState, loadParams, type State } from "../models/params.ts";
import { restoreCheckpoint, saveCheckpoint, type Position } from "./checkpoint.ts";
import { batchIndices, epochOrder, gather, randomCropFlip, stepsPerEpoch, type ImageSet } from "./data.ts";
import { Evaluator, type Evaluation } from "./evaluate.ts";
import { sampleMix } from "./mixup.ts";
import { Optimizer } from "./optimizer.ts";
import { checkRecipe, type Recipe } from "./recipe.ts";
import { learningRate } from "./schedule.ts";
import { disposeStep, recordStep, type Normalization, type TrainStep } from "./step.ts";

export interface TrainOptions {
  readonly model: Model;
  readonly recipe: Recipe;
  readonly seed: number;
  readonly train: ImageSet;
  readonly test: ImageSet;
  readonly normalization: Normalization;
  readonly teacher?: { readonly model: Model; readonly state: State } | undefined;
  /** Where to begin: a checkpoint of this very run, or weights of this model. */
  readonly resume?: Uint8Array | undefined;
  readonly initial?: State | undefined;
  readonly evalBatchSize?: number | undefined;
  /** Evaluate after every so many epochs, and after the last. */
  readonly evalEvery?: number | undefined;
  /** Stop after so many steps in all. */
  readonly maxSteps?: number | undefined;
  /** Save a checkpoint every so many steps, besides the end of each epoch. */
  readonly saveEvery?: number | undefined;
  /** Asked between steps; `true` saves and stops. */
  readonly shouldStop?: (() => boolean) | undefined;
  readonly onCompile?: (done: number, total: number) => void;
  readonly onMetrics?: (metrics: StepMetrics | EpochMetrics) => void;
  readonly onCheckpoint?: ((bytes: Uint8Array, position: Position) => Promise<void>) | undefined;
}

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
  readonly trainTop1: number;
  readonly imagesPerSecond: number;
}

export interface EpochMetrics {
  readonly kind: "epoch";
  readonly epoch: number;
  readonly step: number;
  readonly trainLoss: number;
  readonly trainTop1: number;
  readonly test: Evaluation;
  readonly seconds: number;
}

export interface TrainResult {
  readonly state: State;
  readonly ema: State | null;
  readonly position: Position;
  readonly epochs: readonly EpochMetrics[];
  readonly finished: boolean;
  readonly planBytes: number;
  readonly launches: number;
  readonly imagesPerSecond: number;
}

/** Steps whose results are not back yet. More would only let the queue grow. */
const IN_FLIGHT = 2;

/** So many updates in a row with gradients that are not finite end the run. */
const MAX_SKIPPED = 20;

export async function train(o: TrainOptions): Promise<TrainResult> {
  const { model, recipe, seed, train: images } = o;
  checkRecipe(recipe, model, o.teacher?.model ?? null);
  checkImages("training", images, model);
  checkImages("test", o.test, model);
  const perEpoch = stepsPerEpoch(images.count, recipe.batchSize);
  if (perEpoch === 0) throw new Error(`train: expected at least a batch of ${recipe.batchSize} images, got ${images.count}`);
  const totalSteps = Math.min(recipe.epochs * perEpoch, o.maxSteps ?? Infinity);

  const store = new ParameterStore(model.name, model.params, o.initial ?? initialState(model.params, seed));
  const optimizer = new Optimizer(recipe, store);
  await optimizer.initEma();
  const teacher = o.teacher ? { model: o.teacher.model, params: loadParams(`teacher ${o.teacher.model.name}`, o.teacher.model.params, o.teacher.state) } : null;
  let position: Position = o.resume
    ? restoreCheckpoint(o.resume, store, optimizer, seed, recipe, model.config)
    : { epoch: 0, stepInEpoch: 0, step: 0 };
  const step = await recordStep({ model, store, optimizer, recipe, normalization: o.normalization, teacher, ...(o.onCompile ? { onCompile: o.onCompile } : {}) });
  const evaluator = await Evaluator.create(model, store.tensors, o.normalization, o.evalBatchSize ?? Math.min(o.test.count, 2 * recipe.batchSize));

  const epochs: EpochMetrics[] = [];
  const health = { skippedInARow: 0 };
  const rates = new Throughput(recipe.batchSize);
  const save = async () => o.onCheckpoint?.(await saveCheckpoint(store, optimizer, seed, recipe, model.config, position), position);

  while (position.step < totalSteps) {
    const { epoch } = position;
    const order = epochOrder(images.count, seed, epoch);
    const totals = { loss: 0, correct: 0, steps: 0 };
    const pending: Promise<void>[] = [];
    const startMs = performance.now();
    let stopping = false;

    while (position.stepInEpoch < perEpoch && position.step < totalSteps && !stopping) {
      const lr = learningRate(recipe, { epoch, step: position.step, stepsPerEpoch: perEpoch });
      feed(step, o, order, position, lr, optimizer);
      step.plan.run();
      rates.tick();
      position = { ...position, stepInEpoch: position.stepInEpoch + 1, step: position.step + 1 };
      pending.push(report(step, o, { epoch, step: position.step, totalSteps, lr }, totals, health, rates));
      if (pending.length >= IN_FLIGHT) await pending.shift();
      if (health.skippedInARow >= MAX_SKIPPED) {
        throw new Error(`train: expected finite gradients, got ${health.skippedInARow} updates in a row without (step ${position.step}); the last good checkpoint stands`);
      }
      stopping = o.shouldStop?.() ?? false;
      const saves = o.saveEvery !== undefined && position.step % o.saveEvery === 0 && position.stepInEpoch < perEpoch;
      if (stopping || saves) {
        await Promise.all(pending.splice(0));
        await save();
      }
    }
    await Promise.all(pending.splice(0));
    if (position.stepInEpoch === perEpoch) position = { ...position, epoch: epoch + 1, stepInEpoch: 0 };
    const last = position.step >= totalSteps || stopping;
    if (last || (epoch + 1) % (o.evalEvery ?? 1) === 0) {
      const seconds = (performance.now() - startMs) / 1000;
      const metrics: EpochMetrics = {
        kind: "epoch", epoch, step: position.step, seconds,
        trainLoss: totals.loss / totals.steps, trainTop1: totals.correct / (totals.steps * recipe.batchSize),
        test: await evaluator.evaluate(o.test),
      };
      epochs.push(metrics);
      o.onMetrics?.(metrics);
      rates.pause();
    }
    if (!stopping) await save();
    if (stopping) break;
  }

  const result: TrainResult = {
    state: await store.state(),
    ema: optimizer.ema ? await store.state(optimizer.ema) : null,
    position, epochs,
    finished: position.step >= totalSteps,
    planBytes: step.plan.bytes,
    launches: step.plan.launches,
    imagesPerSecond: rates.imagesPerSecond,
  };
  disposeStep(step);
  evaluator.dispose();
  optimizer.dispose();
  store.dispose();
  for (const t of Object.values(teacher?.params ?? {})) t.dispose();
  return result;
}

/** Writes a step's inputs: images and labels of its batch, and its numbers. */
function feed(step: TrainStep, o: TrainOptions, order: Uint32Array, { epoch, step: t, stepInEpoch }: Position, lr: number, optimizer: Optimizer): void {
  const { recipe, seed, train: images } = o;
  const indices = batchIndices(order, stepInEpoch, recipe.batchSize);
  const batch = gather(images, indices);
  step.images.write(recipe.cropPadding === null ? batch.images : randomCropFlip(images, indices, { padding: recipe.cropPadding, seed, epoch }));
  step.labels.write(Uint32Array.from(batch.labels));
  const [, height, width] = images.shape;
  const { mode, lam, box } = sampleMix(recipe, seed, t, height, width);
  // Both ways of mixing are in the plan; the one that is not drawn gets numbers with which it changes nothing.
  const [y0, y1, x0, x1] = mode === "cutmix" ? box : [0, 0, 0, 0];
  step.scalars.set({ ...optimizer.scalarsAt(t + 1, lr), lam, imageLam: mode === "mixup" ? lam : 1, y0, y1, x0, x1, seed, step: t });
}

/** Reads a step's results when they are there, and passes them on. */
async function report(
  step: TrainStep, o: TrainOptions, at: { epoch: number; step: number; totalSteps: number; lr: number },
  totals: { loss: number; correct: number; steps: number }, health: { skippedInARow: number }, rates: Throughput,
): Promise<void> {
  const { loss, base, distill, norm, correct } = step.plan.result;
  const [l, b, d, n, c] = await readAll([loss, base, distill ?? base, norm, correct]);
  const finite = n![1] === 1 && Number.isFinite(l![0]);
  totals.steps++;
  totals.loss += l![0]!;
  totals.correct += c![0]!;
  health.skippedInARow = finite ? 0 : health.skippedInARow + 1;
  o.onMetrics?.({
    kind: "step", ...at, finite,
    loss: l![0]!, base: b![0]!, distill: distill ? d![0]! : 0,
    gradNorm: n![0]!, trainTop1: c![0]! / o.recipe.batchSize,
    imagesPerSecond: rates.imagesPerSecond,
  });
}

/** Images per second of a usual step: the median, which first runs (drivers compile then) and evaluations leave as it is. */
class Throughput {
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

/** Steps that the rate is taken over. */
const RECENT = 99;

function checkImages(what: string, set: ImageSet, model: Model): void {
  if (String(set.shape) !== String(model.imageShape)) throw new Error(`train: expected ${what} images [${model.imageShape}], got [${set.shape}]`);
  if (set.classes.length !== model.numClasses) throw new Error(`train: expected ${what} images of ${model.numClasses} classes, got ${set.classes.length}`);
}

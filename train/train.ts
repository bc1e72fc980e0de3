/**
 * Training, from images to a trained model: the loop as the official DeiT code runs it, on recorded steps.
 *
 * Everything random depends on (seed, epoch, step, image) alone, so a run that was stopped goes on with the same bits.
 */
import { OutOfMemoryError } from "../engine/errors.ts";
import { encodeMix } from "../kernels/augment/mix-batch.ts";
import type { Model } from "../models/model.ts";
import { ParameterStore, initialState, loadParams, type State } from "../models/params.ts";
import { storedModel, storedParams } from "../models/mixed-precision.ts";
import { restoreCheckpoint, saveCheckpoint, type Position } from "./checkpoint.ts";
import { Evaluator } from "./evaluate.ts";
import type { Batch } from "./input/options.ts";
import { InputPipeline } from "./input/pipeline.ts";
import type { ImagePlatform, ImageSource } from "./input/source.ts";
import { readBatch, readStep, Throughput, type EpochMetrics, type StepMetrics } from "./metrics.ts";
import { mixArrays, sampleMixes } from "./augment/mixup.ts";
import { Optimizer } from "./optimizer.ts";
import { recipeOrder, recipeSteps } from "./input/order.ts";
import { checkRecipe, mates, type Recipe } from "./recipe.ts";
import { learningRate } from "./schedule.ts";
import { augmentOf, makeStepInput, type Normalization, type StepInput } from "./input/step-input.ts";
import { recordStep, type TrainStep } from "./step.ts";
import { cachedLogits, teacherAnswers } from "./teacher-cache.ts";
import { trains } from "./trained.ts";

export type { EpochMetrics, StepMetrics } from "./metrics.ts";

export interface TrainOptions {
  readonly model: Model;
  readonly recipe: Recipe;
  readonly seed: number;
  readonly train: ImageSource;
  readonly test: ImageSource;
  /** What reads and decodes images, where they are files. */
  readonly platform: ImagePlatform;
  /** Threads that prepare images. */
  readonly workers?: number | undefined;
  /** Where images are augmented: "gpu" unless said. A run that is resumed must stay with its choice to end in the same bits. */
  readonly augment?: "gpu" | "cpu" | undefined;
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
  /** Save a checkpoint at the first step after so many seconds without one. */
  readonly saveSeconds?: number | undefined;
  /** Asked between steps; `true` saves and stops. */
  readonly shouldStop?: (() => boolean) | undefined;
  readonly onCompile?: (done: number, total: number) => void;
  readonly onMetrics?: (metrics: StepMetrics | EpochMetrics) => void;
  readonly onCheckpoint?: ((bytes: Uint8Array, position: Position) => Promise<void>) | undefined;
  /** The share of the training images that may be corrupt before it ends the run. */
  readonly maxCorrupt?: number | undefined;
  readonly onCorrupt?: ((image: { readonly name: string; readonly reason: string }) => void) | undefined;
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
  const made: Disposable[] = [];
  try {
    return await run(o, (thing) => (made.push(thing), thing));
  } finally {
    // Also where it never came to a step: whoever tries again with less needs the memory.
    for (const thing of made.reverse()) thing.dispose();
  }
}

interface Disposable {
  dispose(): void;
}

async function run(o: TrainOptions, own: <T extends Disposable>(thing: T) => T): Promise<TrainResult> {
  const { model, recipe, seed, train: images } = o;
  const { accumulate } = recipe;
  const perEpoch = checkRun(o);
  const totalSteps = Math.min(recipe.epochs * perEpoch, o.maxSteps ?? Infinity);

  const stored = storedModel(model, recipe.dtype);
  const store = own(new ParameterStore(model.name, model.params, o.initial ?? initialState(model.params, seed), trains(recipe.trainOnly)));
  const optimizer = own(new Optimizer(recipe, store));
  await optimizer.initEma();
  const teacher = o.teacher
    ? {
        model: storedModel(o.teacher.model, recipe.teacherDtype),
        params: storedParams(loadParams(`teacher ${o.teacher.model.name}`, o.teacher.model.params, o.teacher.state), recipe.teacherDtype),
      }
    : null;
  for (const tensor of Object.values(teacher?.params ?? {})) own(tensor);
  const answers = teacher && recipe.cacheTeacher ? await teacherAnswers(teacher, images, o) : null;
  let position: Position = o.resume
    ? restoreCheckpoint(o.resume, store, optimizer, seed, recipe, model.config)
    : { epoch: 0, stepInEpoch: 0, step: 0 };
  const input = own(makeStepInput(o));
  const step = own(
    await recordStep({
      model: stored,
      store,
      optimizer,
      recipe,
      input: (patch) => input.launch(patch),
      teacher,
      ...(o.onCompile ? { onCompile: o.onCompile } : {}),
    }),
  );
  const evaluator = own(
    await Evaluator.create(
      stored,
      store.tensors,
      o.normalization,
      o.evalBatchSize ?? Math.min(o.test.count, (2 * recipe.batchSize) / accumulate),
    ),
  );
  const pipeline = new InputPipeline(images, {
    batchSize: recipe.batchSize / accumulate,
    order: recipeOrder(images.count, seed, recipe),
    prepare: input.prepare,
    platform: o.platform,
    workers: o.workers ?? 0,
    start: { epoch: position.epoch, step: position.stepInEpoch * accumulate },
    epochs: recipe.epochs,
    ...(o.onCorrupt ? { onCorrupt: o.onCorrupt } : {}),
    ...(o.maxCorrupt === undefined ? {} : { maxCorrupt: o.maxCorrupt }),
  });

  const epochs: EpochMetrics[] = [];
  const health = { skippedInARow: 0 };
  const rates = new Throughput(recipe.batchSize);
  let savedMs = performance.now();
  const about = { classes: o.train.classes, ...o.normalization, ...(o.teacher ? { teacher: o.teacher.model.name } : {}) };
  const save = async () => {
    await o.onCheckpoint?.(await saveCheckpoint(store, optimizer, seed, recipe, model.config, position, about), position);
    savedMs = performance.now();
  };

  const pending: Promise<void>[] = [];
  try {
    while (position.step < totalSteps) {
      const { epoch } = position;
      const totals = { loss: 0, correct: 0, steps: 0 };
      const startMs = performance.now();
      const waitedBefore = pipeline.stats.waitedMs;
      let stopping = false;
      let [fromMs, waitedMs] = [startMs, waitedBefore];

      while (position.stepInEpoch < perEpoch && position.step < totalSteps && !stopping) {
        const lr = learningRate(recipe, { epoch, step: position.step, stepsPerEpoch: perEpoch });
        const scalars = optimizer.scalarsAt(position.step + 1, lr);
        const batches = [];
        for (let part = 0; part < accumulate; part++) {
          const batch = await pipeline.next();
          write(step, input, batch, recipe, seed, position.step * accumulate + part, answers);
          step.scalars.set({ ...scalars, keep: part === 0 ? 0 : 1, seed, step: position.step * accumulate + part });
          step.batch.run();
          const numbers = readBatch(step);
          numbers.catch(() => undefined); // whoever waits for the update hears of it
          batches.push(numbers);
        }
        step.update?.run();
        const [nowMs, waited] = [performance.now(), pipeline.stats.waitedMs];
        const inputWait = (waited - waitedMs) / Math.max(nowMs - fromMs, 1e-3);
        [fromMs, waitedMs] = [nowMs, waited];
        position = { ...position, stepInEpoch: position.stepInEpoch + 1, step: position.step + 1 };
        const at = { epoch, step: position.step, totalSteps, lr, inputWait };
        // In the steps' order, whichever is read first.
        pending.push(
          Promise.all([readStep(step, batches, recipe.batchSize), pending.at(-1)]).then(([{ correct, ...result }]) => {
            rates.tick(); // done, and not only asked for
            totals.steps++;
            totals.loss += result.loss;
            totals.correct += correct;
            health.skippedInARow = result.finite ? 0 : health.skippedInARow + 1;
            o.onMetrics?.({ kind: "step", ...at, ...result, imagesPerSecond: rates.imagesPerSecond });
          }),
        );
        if (pending.length >= IN_FLIGHT) await pending.shift();
        if (health.skippedInARow >= MAX_SKIPPED) {
          throw new Error(
            `train: expected finite gradients, got ${health.skippedInARow} updates in a row without (step ${position.step}); the last good checkpoint stands`,
          );
        }
        stopping = o.shouldStop?.() ?? false;
        const due =
          (o.saveEvery !== undefined && position.step % o.saveEvery === 0) ||
          performance.now() - savedMs > 1000 * (o.saveSeconds ?? Infinity);
        if (stopping || (due && position.stepInEpoch < perEpoch)) {
          await Promise.all(pending.splice(0));
          await save();
        }
      }
      await Promise.all(pending.splice(0));
      const ended = position.stepInEpoch === perEpoch;
      if (ended) position = { ...position, epoch: epoch + 1, stepInEpoch: 0 };
      const last = position.step >= totalSteps || stopping;
      if (last || (epoch + 1) % (o.evalEvery ?? 1) === 0) {
        const seconds = (performance.now() - startMs) / 1000;
        const metrics: EpochMetrics = {
          kind: "epoch",
          epoch,
          step: position.step,
          seconds,
          inputWait: (pipeline.stats.waitedMs - waitedBefore) / (1000 * seconds),
          trainLoss: totals.loss / totals.steps,
          trainTop1: totals.correct / (totals.steps * recipe.batchSize),
          test: await evaluator.evaluate(o.test, o),
        };
        epochs.push(metrics);
        o.onMetrics?.(metrics);
        rates.pause();
      }
      if (!stopping) await save();
      if (stopping) break;
    }

    return {
      state: await store.state(),
      ema: optimizer.ema ? await store.state(optimizer.ema.flat, optimizer.ema.stats) : null,
      position,
      epochs,
      finished: position.step >= totalSteps,
      planBytes: step.batch.bytes + (step.update?.bytes ?? 0),
      launches: accumulate * step.batch.launches + (step.update?.launches ?? 0),
      imagesPerSecond: rates.imagesPerSecond,
    };
  } catch (error) {
    await Promise.allSettled(pending); // they fail of the same cause, with nobody to hear of it
    // Parameters outlive that memory ran out, as they do not outlive their device.
    if (error instanceof OutOfMemoryError && position.step > 0) await save().catch(() => undefined);
    throw error;
  } finally {
    await pipeline.close();
  }
}

/** Writes a batch: its images, labels, mixing, and the teacher's answers where they are cached. `t` numbers the batches of the run. */
function write(
  step: TrainStep,
  input: StepInput,
  batch: Batch,
  recipe: Recipe,
  seed: number,
  t: number,
  answers: Float32Array | null,
): void {
  input.write(batch);
  step.labels.write(batch.labels);
  const { side } = input;
  const mixes = step.mix ? sampleMixes(recipe, seed, t, batch.labels.length, side, side, mates(recipe)) : null;
  if (mixes) {
    const { lam, imageLam, boxes } = mixArrays(mixes);
    step.mix!.write(
      encodeMix(
        mixes.map((_, b) => ({
          lam: imageLam[b]!,
          share: lam[b]!,
          box: [...boxes.subarray(4 * b, 4 * b + 4)] as [number, number, number, number],
        })),
      ),
    );
  }
  if (answers)
    step.teacherLogits!.write(
      cachedLogits(
        answers,
        batch.images,
        mixes && { own: mixes.map(({ lam }) => lam), mates: mates(recipe) },
        step.teacherLogits!.shape[1]!,
      ),
    );
}

/** Throws where settings contradict each other, the images, the student or the teacher, before any work. Returns the steps of an epoch. */
export function checkRun({
  model,
  recipe,
  train: images,
  test,
  teacher,
}: Pick<TrainOptions, "model" | "recipe" | "train" | "test" | "teacher">): number {
  checkRecipe(recipe, { ...model, transformer: model.config.arch === "deit" }, teacher?.model ?? null);
  checkImages("training", images, model);
  checkImages("test", test, model);
  augmentOf(recipe, model.imageShape[1]);
  const perEpoch = images.count === 0 ? 0 : recipeSteps(images.count, recipe);
  if (perEpoch === 0) throw new Error(`train: expected at least a batch of ${recipe.batchSize} images, got ${images.count}`);
  return perEpoch;
}

function checkImages(what: string, source: ImageSource, model: Model): void {
  const [channels] = model.imageShape;
  if (channels !== 3) throw new Error(`train: expected a model of 3 channels, got ${channels}`);
  if (source.classes.length !== model.numClasses)
    throw new Error(`train: expected ${what} images of ${model.numClasses} classes, got ${source.classes.length}`);
}

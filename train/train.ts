/**
 * Training, from images to a trained model: the loop as the official DeiT code runs it, on recorded steps.
 *
 * Everything random depends only on (seed, epoch, step, image), so a stopped run resumes with the same bits.
 */
import { getDevice } from "../engine/device.ts";
import { OutOfMemoryError } from "../engine/errors.ts";
import type { Model } from "../models/model.ts";
import { checkSizes } from "../models/params.ts";
import { checkMemory } from "./check-memory.ts";
import { readCheckpoint } from "./checkpoint.ts";
import { trainEpoch, type Length, type Totals } from "./epoch.ts";
import { Health } from "./health.ts";
import { identify } from "./identity.ts";
import { recipeSteps } from "./input/order.ts";
import type { ImageSource } from "./input/source.ts";
import { augmentOf } from "./input/step-input.ts";
import type { EpochMetrics } from "./metrics.ts";
import type { TeacherAnswers, TrainOptions, TrainResult } from "./options.ts";
import { checkRecipe } from "./recipe.ts";
import { makeRun, type Run } from "./run.ts";
import { Saver } from "./saver.ts";
import { trains } from "./trained.ts";

export type { EpochMetrics, StepMetrics } from "./metrics.ts";
export type { TrainOptions, TrainResult } from "./options.ts";

/**
 * Trains `o.model` on `o.train` by `o.recipe`. Rejects if settings contradict each other (`checkRun`), if `o.resume` is not of this run
 * (`ResumeError`), if the adapter cannot hold it (`checkMemory`), if gradients stay infinite, and if the device is lost or out of memory.
 * Frees its GPU memory in every case.
 */
export async function train(o: TrainOptions): Promise<TrainResult> {
  const made: { dispose(): void }[] = [];
  try {
    return await run(o, (thing) => (made.push(thing), thing));
  } finally {
    for (const thing of made.reverse()) thing.dispose();
  }
}

async function run(o: TrainOptions, own: <T extends { dispose(): void }>(thing: T) => T): Promise<TrainResult> {
  const stepsPerEpoch = checkRun(o);
  checkMemory(o);
  const length = { stepsPerEpoch, totalSteps: Math.min(o.recipe.epochs * stepsPerEpoch, o.maxSteps ?? Infinity) };
  const identity = await identify(o);
  const resumed = o.resume ? await readCheckpoint(o.resume, identity, { stepsPerEpoch, allowChanged: o.allowChanged }) : null;
  const r = await makeRun(o, resumed, own);
  const saver = new Saver(o, r, identity);
  const health = new Health();
  const epochs: EpochMetrics[] = [];
  try {
    let stopped = false;
    while (r.position.step < length.totalSteps && !stopped) {
      const { epoch } = r.position;
      const totals = await trainEpoch(o, r, length, saver, health);
      stopped = totals.stopped;
      const last = stopped || r.position.step >= length.totalSteps;
      if (last || (epoch + 1) % (o.evalEvery ?? 1) === 0) epochs.push(await evaluateEpoch(o, r, epoch, totals));
      if (!stopped && ((o.saveEpochs ?? true) || saver.due)) await saver.save();
    }
    if (!stopped) health.checkFinished();
    return await resultOf(o, r, epochs, length);
  } catch (error) {
    await r.inFlight.settle();
    // The parameters survive an out-of-memory error and an interrupted evaluation, but not a lost device.
    const standing = error instanceof OutOfMemoryError || o.shouldStop?.();
    if (standing && r.position.step > 0) await saver.save().catch(() => undefined);
    throw error;
  } finally {
    await r.pipeline.close();
  }
}

async function evaluateEpoch(
  o: TrainOptions,
  { evaluator, position, throughput }: Run,
  epoch: number,
  { loss, correct, steps, time }: Totals,
): Promise<EpochMetrics> {
  const trained = { trainLoss: loss / steps, trainTop1: correct / (steps * o.recipe.batchSize) };
  const metrics: EpochMetrics = {
    kind: "epoch",
    epoch,
    step: position.step,
    ...time,
    ...trained,
    test: await evaluator.evaluate(o.test, o),
  };
  o.onMetrics?.(metrics);
  throughput.pause();
  return metrics;
}

async function resultOf({ recipe }: TrainOptions, r: Run, epochs: readonly EpochMetrics[], { totalSteps }: Length): Promise<TrainResult> {
  const { student, store, optimizer, step, position } = r;
  const learned = await store.state();
  return {
    state: student.whole(learned),
    learned,
    ema: optimizer.ema ? student.whole(await store.state(optimizer.ema.flat, optimizer.ema.stats)) : null,
    position,
    epochs,
    finished: position.step >= totalSteps,
    planBytes: step.batch.bytes + (step.update?.bytes ?? 0),
    launches: recipe.accumulate * step.batch.launches + (step.update?.launches ?? 0),
    imagesPerSecond: r.throughput.imagesPerSecond,
  };
}

/**
 * Throws before any work if settings contradict each other, the images, the student, the teacher or the device's limits. Returns the
 * number of updates in an epoch.
 */
export function checkRun(o: Pick<TrainOptions, "model" | "recipe" | "train" | "test" | "teacher" | "answers">): number {
  const { model, recipe, train: images, test, teacher, answers } = o;
  checkRecipe(recipe, { ...model, transformer: model.config.arch === "deit" }, teacher?.model ?? answers ?? null);
  if (answers) checkAnswers(answers, o);
  checkSizes(model.name, model.params, trains(recipe.trainOnly), getDevice().limits);
  checkImages("training", images, model);
  checkImages("test", test, model);
  augmentOf(recipe, model.imageShape[1]);
  const perEpoch = images.count === 0 ? 0 : recipeSteps(images.count, recipe);
  if (perEpoch === 0) throw new Error(`train: expected at least a batch of ${recipe.batchSize} images, got ${images.count}`);
  return perEpoch;
}

function checkAnswers(
  { logits, numClasses }: TeacherAnswers,
  { recipe, teacher, train }: Pick<TrainOptions, "recipe" | "teacher" | "train">,
): void {
  if (teacher) throw new Error("train: expected a teacher or its answers, got both");
  if (recipe.distillation === "features")
    throw new Error('train: expected a teacher for distillation "features", got answers, which are logits');
  if (!recipe.cacheTeacher)
    throw new Error("train: expected cacheTeacher with a teacher's answers, which are for images without augmentation");
  if (logits.length !== train.count * numClasses)
    throw new Error(
      `train: expected a teacher's answers [${train.count},${numClasses}], one row for each training image, got ${logits.length} values`,
    );
}

function checkImages(what: string, source: ImageSource, model: Model): void {
  const [channels] = model.imageShape;
  if (channels !== 3) throw new Error(`train: expected a model of 3 channels, got ${channels}`);
  if (source.classes.length !== model.numClasses)
    throw new Error(`train: expected ${what} images of ${model.numClasses} classes, got ${source.classes.length}`);
}

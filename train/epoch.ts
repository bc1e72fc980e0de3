/** An epoch of training, update by update. */
import { encodeMix } from "../kernels/augment/mix-batch.ts";
import { mixArrays, sampleMixes, type Mix } from "./augment/mixup.ts";
import type { Position } from "./position.ts";
import { describeNotFinite } from "./debug-text.ts";
import type { Health } from "./health.ts";
import type { Batch } from "./input/options.ts";
import type { InputPipeline } from "./input/pipeline.ts";
import { readBatch, readStep } from "./metrics.ts";
import type { TrainOptions } from "./options.ts";
import { canProfile, profile } from "./profile.ts";
import { mixGroupSize } from "./recipe.ts";
import type { Run } from "./run.ts";
import type { Saver } from "./saver.ts";
import { learningRate } from "./schedule.ts";
import { cachedLogits } from "./teacher-cache.ts";

/** The run's last update. */
export interface Length {
  readonly stepsPerEpoch: number;
  readonly totalSteps: number;
}

/** An epoch's sums and times; those of a resumed epoch count from the resume. */
export class Totals {
  loss = 0;
  correct = 0;
  steps = 0;
  /** Asked to stop, and saved. */
  stopped = false;
  readonly #pipeline: InputPipeline;
  readonly #start: Instant;
  #last: Instant;

  constructor(pipeline: InputPipeline) {
    this.#pipeline = pipeline;
    this.#start = this.#last = instant(pipeline);
  }

  /** Seconds since the epoch began, and the share of them spent waiting for images. */
  get time() {
    const now = instant(this.#pipeline);
    return { seconds: (now.ms - this.#start.ms) / 1000, inputWait: waitShare(this.#start, now) };
  }

  /** The share of the time since the last call that was spent waiting for images. */
  inputWait(): number {
    const before = this.#last;
    this.#last = instant(this.#pipeline);
    return waitShare(before, this.#last);
  }
}

interface Instant {
  readonly ms: number;
  /** Milliseconds spent waiting for images until then. */
  readonly waitedMs: number;
}

const instant = ({ stats }: InputPipeline): Instant => ({ ms: performance.now(), waitedMs: stats.waitedMs });
const waitShare = (from: Instant, to: Instant): number => (to.waitedMs - from.waitedMs) / Math.max(to.ms - from.ms, 1e-3);

/** Trains until the epoch ends, the run ends, or a stop is asked for. Saves within the epoch where `saver` says so. */
export async function trainEpoch(o: TrainOptions, run: Run, length: Length, saver: Saver, health: Health): Promise<Totals> {
  const totals = new Totals(run.pipeline);
  const { epoch } = run.position;
  while (run.position.epoch === epoch && run.position.step < length.totalSteps && !totals.stopped) {
    await trainStep(o, run, length, totals, health);
    await run.inFlight.throttle();
    health.check(run.position.step);
    totals.stopped = o.shouldStop?.() ?? false;
    if (totals.stopped || (saver.due && run.position.epoch === epoch)) {
      await run.inFlight.drain();
      await saver.save();
    }
  }
  await run.inFlight.drain();
  return totals;
}

/** Submits one update without waiting; its numbers arrive later. */
async function trainStep(o: TrainOptions, run: Run, { stepsPerEpoch, totalSteps }: Length, totals: Totals, health: Health) {
  const { recipe, seed } = o;
  const { step, optimizer, position } = run;
  const { accumulate } = recipe;
  const lr = learningRate(recipe, { epoch: position.epoch, step: position.step, stepsPerEpoch });
  const scalars = optimizer.scalarsAt(position.step + 1, lr);
  const batches = [];
  for (let part = 0; part < accumulate; part++) {
    const number = position.step * accumulate + part;
    writeBatch(o, run, await run.pipeline.next(), number);
    step.scalars.set({ ...scalars, keep: part === 0 ? 0 : 1, seed, step: number });
    if (o.statsEvery && part === 0 && position.step % o.statsEvery === 0)
      o.onStats?.({ step: position.step + 1, layers: await run.replay!.ranges() });
    if (part === 0 && profiled(o, run)) o.onProfile?.({ step: position.step + 1, launches: await profile(step.batch) });
    else await runPlan(o, run, "batch", lr);
    const numbers = readBatch(step);
    numbers.catch(() => undefined); // `readStep` below reports it
    batches.push(numbers);
  }
  if (step.update) await runPlan(o, run, "update", lr);
  run.position = after(position, stepsPerEpoch);
  const at = { epoch: position.epoch, step: run.position.step, totalSteps, lr, inputWait: totals.inputWait() };
  run.inFlight.push(readStep(step, batches, recipe.batchSize), ({ correct, ...numbers }) => {
    run.throughput.tick(); // the update is made, not only submitted
    totals.steps++;
    totals.loss += numbers.loss;
    totals.correct += correct;
    health.note(numbers);
    o.onMetrics?.({ kind: "step", ...at, ...numbers, imagesPerSecond: run.throughput.imagesPerSecond });
  });
}

/** Not the run's very first update: what it does first is no part of a usual one. */
const profiled = ({ profileEvery, debugNan }: TrainOptions, { position: { step }, step: { batch } }: Run): boolean =>
  profileEvery !== undefined && !debugNan && step > 0 && step % profileEvery === 0 && canProfile(batch);

/** Submits a plan of the step. Throws, where NaNs are to be explained, with where the first value comes from that is not finite. */
async function runPlan({ debugNan }: TrainOptions, { step, replay, position }: Run, part: "batch" | "update", lr: number): Promise<void> {
  if (!debugNan) return step[part]!.run();
  const found = await replay!.run(part);
  if (!found) return;
  const rate = found.phase === "optimizer" ? `; learning rate ${lr}` : "";
  throw new Error(`train: expected finite values in update ${position.step + 1}, got ${describeNotFinite(found)}${rate}`);
}

const after = ({ epoch, stepInEpoch, step }: Position, stepsPerEpoch: number): Position =>
  stepInEpoch + 1 < stepsPerEpoch
    ? { epoch, stepInEpoch: stepInEpoch + 1, step: step + 1 }
    : { epoch: epoch + 1, stepInEpoch: 0, step: step + 1 };

/** Writes a batch to the GPU: images, labels, mixing, and the teacher's logits where they are cached. `number` counts the run's batches. */
function writeBatch({ recipe, seed }: TrainOptions, { step, input, teacherLogits }: Run, batch: Batch, number: number): void {
  input.write(batch);
  step.labels.write(batch.labels);
  const groupSize = mixGroupSize(recipe);
  const mixes = step.mix ? sampleMixes(recipe, seed, number, batch.labels.length, input.side, input.side, groupSize) : null;
  if (mixes) step.mix!.write(encodedMixes(mixes));
  if (!teacherLogits) return;
  const shares = mixes && { own: mixes.map(({ lam }) => lam), groupSize };
  step.teacherLogits!.write(cachedLogits(teacherLogits, batch.images, shares, step.teacherLogits!.shape[1]!));
}

function encodedMixes(mixes: readonly Mix[]) {
  const { lam, imageLam } = mixArrays(mixes);
  return encodeMix(mixes.map(({ box }, b) => ({ lam: imageLam[b]!, share: lam[b]!, box: [...box] as [number, number, number, number] })));
}

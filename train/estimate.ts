/** The GPU memory that a run of training takes, said before any of it is taken. */
import type { Stats } from "../engine/device.ts";
import { scope } from "../engine/memory.ts";
import { rehearsePlan } from "../engine/plan.ts";
import { Tensor } from "../engine/tensor.ts";
import type { Flat } from "../models/flat.ts";
import type { Model } from "../models/model.ts";
import { ParameterStore, type Params } from "../models/params.ts";
import { draftEvaluation } from "./evaluate.ts";
import type { ImageSource } from "./input/source.ts";
import { makeStepInput } from "./input/step-input.ts";
import { Optimizer } from "./optimizer.ts";
import type { Recipe } from "./recipe.ts";
import { rehearse, rehearseRead } from "./rehearse.ts";
import { stateOf } from "./replay.ts";
import { evalBatch, loadTeacher } from "./run.ts";
import { draftStep, type StepDraft } from "./step.ts";
import { makeStudent } from "./student.ts";
import { trains } from "./trained.ts";

/** Bytes of GPU buffers. */
export interface MemoryEstimate {
  /** Weights and running statistics. */
  readonly parameters: number;
  /** Of a batch, and their sum where several batches make an update. */
  readonly gradients: number;
  /** Its state, and the moving average of the weights. */
  readonly optimizer: number;
  /** The teacher's weights. */
  readonly teacher: number;
  /** Images, labels and their augmentation, as they are written for a step. */
  readonly input: number;
  /** All that a step computes on its way: activations, their gradients, results. */
  readonly activations: number;
  /** The same for an evaluation, with its images. */
  readonly evaluation: number;
  /** Copies of what a step changes, where updates are looked into (`debugNan`, `statsEvery`). */
  readonly copies: number;
  /** What looking into an update takes beside the peak: all that a step computes, at once. With `debugNan` only for one that is not finite. */
  readonly replay: number;
  /** The most there is at once: all of these but `replay`, and what values are read back through. */
  readonly peak: number;
}

export interface EstimateOptions {
  readonly teacher?: Model | undefined;
  /** (channels, height, width) of the training images where all have one, `null` where they differ; the model's unless given. */
  readonly images?: ImageSource["shape"] | undefined;
  /** Numbers of training and test images, where batches may be larger. */
  readonly trainCount?: number | undefined;
  readonly testCount?: number | undefined;
  readonly evalBatchSize?: number | undefined;
  readonly augment?: "gpu" | "cpu" | undefined;
  /** With `debugNan` or `statsEvery`. */
  readonly copies?: boolean | undefined;
}

/** What normalises images takes no memory of its own. */
const ANY = { mean: [0, 0, 0], std: [1, 1, 1] };

/**
 * The memory that `train` takes with this model and recipe on the current device. Nothing is allocated: the run's own code is rehearsed
 * with tensors that have sizes alone. Throws where the adapter cannot hold one of its tensors.
 */
export function estimate(model: Model, recipe: Recipe, o: EstimateOptions = {}): MemoryEstimate {
  return rehearse((stats) => rehearseRun(model, recipe, o, stats)).result;
}

/** Makes what `makeRun` makes, in its order, and reads what a run reads. */
function rehearseRun(model: Model, recipe: Recipe, o: EstimateOptions, stats: Stats): MemoryEstimate {
  const taken = <T>(make: () => T): [made: T, bytes: number] => {
    const before = stats.bytesAllocated;
    return [make(), stats.bytesAllocated - before];
  };
  const [, height, width] = model.imageShape;
  const { images = [3, height, width], trainCount = Infinity, testCount = Infinity, teacher: teacherModel } = o;
  const evaluation = (of: Model, params: Params, batch: number) => {
    const { images, body } = draftEvaluation(of, params, ANY, batch);
    const plan = rehearsePlan(body);
    rehearseRead(plan.result);
    return { images, plan };
  };
  const [{ student, store }, weights] = taken(() => {
    const student = makeStudent(model, recipe, null, 0, teacherModel ?? null);
    const store = new ParameterStore(model.name, student.model.params, null, trains(recipe.trainOnly), recipe.dtype);
    return { student: student.model, store };
  });
  const [optimizer, state] = taken(() => new Optimizer(recipe, store));
  const [teacher, teacherWeights] = taken(() => teacherModel && loadTeacher({ model: teacherModel, state: null }, recipe.teacherDtype));
  if (teacher && recipe.cacheTeacher) {
    const { images, plan } = evaluation(teacher.model, teacher.params, Math.min(trainCount, recipe.batchSize));
    plan.dispose();
    images.dispose();
  }
  const [step, input] = taken(() => {
    const source = makeStepInput({ model, recipe, seed: 0, normalization: ANY, train: { shape: images }, augment: o.augment });
    return draftStep({ model: student, store, optimizer, recipe, input: (patch) => source.launch(patch), teacher: teacher ?? null });
  });
  const [, activations] = taken(() => {
    const { loss, base, distill, correct, norm } = rehearsePlan(step.batch).result;
    if (step.update) rehearsePlan(step.update);
    rehearseRead([loss, base, distill ?? base, correct, ...(norm ? [norm] : [])]);
  });
  const [, copies] = taken(() => o.copies && stateOf(store, optimizer, step).map(({ shape }) => Tensor.zeros(shape)));
  const [, evaluating] = taken(() => evaluation(student, store.tensors, o.evalBatchSize ?? evalBatch(recipe, testCount)));
  for (const tensor of store.buffers) rehearseRead([tensor]); // a checkpoint
  const peak = stats.bytesAllocatedPeak;
  if (o.copies) replayed(step);
  const gradients = sizeOf(store.grads);
  const sum = sizeOf(step.sum ?? []);
  return {
    ...{ parameters: weights - gradients, gradients: gradients + sum, optimizer: state, teacher: teacherWeights },
    ...{ input: input - sum, activations, evaluation: evaluating, copies },
    ...{ replay: stats.bytesAllocatedPeak - peak, peak },
  };
}

/** Runs a step launch by launch, as `debug` does: what it computes stays until its end. */
function replayed({ batch, update }: StepDraft): void {
  scope(() => void batch());
  if (update) scope(() => void update());
}

const sizeOf = (flat: Flat): number => flat.reduce((sum, { storage }) => sum + storage.buffer!.size, 0);

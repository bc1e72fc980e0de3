/** The parts of a run on GPU and CPU, made once before its first step. */
import { storedModel, storedParams } from "../models/mixed-precision.ts";
import type { Model } from "../models/model.ts";
import { loadParams, ParameterStore, type State } from "../models/params.ts";
import { restoreCheckpoint, type Resumed } from "./checkpoint.ts";
import { Evaluator } from "./evaluate.ts";
import { InFlight } from "./in-flight.ts";
import { recipeOrder } from "./input/order.ts";
import { InputPipeline } from "./input/pipeline.ts";
import { makeStepInput, type StepInput } from "./input/step-input.ts";
import { Throughput } from "./metrics.ts";
import { Optimizer } from "./optimizer.ts";
import type { TrainOptions } from "./options.ts";
import type { Position } from "./position.ts";
import type { Recipe } from "./recipe.ts";
import { Replay } from "./replay.ts";
import { recordStep, type TrainStep } from "./step.ts";
import { firstState, makeStudent, type Student } from "./student.ts";
import { computeTeacherLogits } from "./teacher-cache.ts";
import { trains } from "./trained.ts";

export interface Run {
  readonly student: Student;
  readonly store: ParameterStore;
  readonly optimizer: Optimizer;
  readonly input: StepInput;
  readonly step: TrainStep;
  readonly evaluator: Evaluator;
  readonly pipeline: InputPipeline;
  /** (count, K): the teacher's logits for every training image, where the recipe caches them or `answers` gave them. */
  readonly teacherLogits: Float32Array | null;
  /** Where updates are looked into. */
  readonly replay: Replay | null;
  readonly inFlight: InFlight;
  readonly throughput: Throughput;
  position: Position;
}

interface Disposable {
  dispose(): void;
}

/** `own` registers an object to dispose of when the run ends, also by an error. */
export async function makeRun(o: TrainOptions, resumed: Resumed | null, own: <T extends Disposable>(thing: T) => T): Promise<Run> {
  const { model, recipe, seed } = o;
  const student = makeStudent(model, recipe, o.initial ?? firstState(model, recipe, seed), seed, o.teacher?.model ?? null);
  for (const tensor of Object.values(student.frozen)) own(tensor);
  const store = own(new ParameterStore(model.name, student.model.params, student.state, trains(recipe.trainOnly), recipe.dtype));
  const optimizer = own(new Optimizer(recipe, store));
  await optimizer.initEma();
  const teacher = o.teacher ? loadTeacher(o.teacher, recipe.teacherDtype) : null;
  for (const tensor of Object.values(teacher?.params ?? {})) own(tensor);
  const computed = teacher && recipe.cacheTeacher ? await computeTeacherLogits(teacher, o.train, o) : null;
  const teacherLogits = o.answers?.logits ?? computed;
  if (resumed) restoreCheckpoint(resumed, store, optimizer);
  const input = own(makeStepInput(o));
  const { onCompile } = o;
  const launchInput = (patch?: number) => input.launch(patch);
  const step = own(
    await recordStep({ model: student.model, store, optimizer, recipe, input: launchInput, teacher, ...(onCompile ? { onCompile } : {}) }),
  );
  const evaluator = own(
    await Evaluator.create(student.model, store.tensors, o.normalization, o.evalBatchSize ?? evalBatch(recipe, o.test.count)),
  );
  const position = resumed?.position ?? { epoch: 0, stepInEpoch: 0, step: 0 };
  const pipeline = startPipeline(o, input, position);
  const replay = o.debugNan || o.statsEvery ? own(new Replay({ store, step, optimizer })) : null;
  return {
    ...{ student, store, optimizer, input, step, evaluator, pipeline, teacherLogits, position, replay },
    inFlight: new InFlight(),
    throughput: new Throughput(recipe.batchSize),
  };
}

/** Images per launch of an evaluation. */
export const evalBatch = ({ batchSize, accumulate }: Recipe, images: number): number => Math.min(images, (2 * batchSize) / accumulate);

/** The teacher on the GPU; of zeros without a state. */
export const loadTeacher = ({ model, state }: { readonly model: Model; readonly state: State | null }, dtype: "f32" | "f16") => ({
  model: storedModel(model, dtype),
  params: storedParams(loadParams(`teacher ${model.name}`, model.params, state), dtype),
});

function startPipeline(o: TrainOptions, input: StepInput, { epoch, stepInEpoch }: Position): InputPipeline {
  const { recipe, train: images } = o;
  return new InputPipeline(images, {
    batchSize: recipe.batchSize / recipe.accumulate,
    order: recipeOrder(images.count, o.seed, recipe),
    prepare: input.prepare,
    platform: o.platform,
    workers: o.workers ?? 0,
    start: { epoch, step: stepInEpoch * recipe.accumulate },
    epochs: recipe.epochs,
    ...(o.onCorrupt ? { onCorrupt: o.onCorrupt } : {}),
    ...(o.maxCorrupt === undefined ? {} : { maxCorrupt: o.maxCorrupt }),
  });
}

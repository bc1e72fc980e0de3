/**
 * `demo`: distils a DeiT student from the shipped CNN teacher on the shipped CIFAR-10 images, trains the same student without
 * the teacher, and reports both. Sizes itself to the adapter by timing a few steps first.
 */
import { adapterName, getDevice } from "../engine/device.ts";
import { readWeights } from "../models/checkpoints/weights.ts";
import { createModel, type Model } from "../models/model.ts";
import { countParams } from "../models/params.ts";
import { parseCifar } from "../train/data/dataset.ts";
import type { EpochMetrics } from "../train/metrics.ts";
import { makeRecipe } from "../train/recipe.ts";
import { answersOf, compare, top1Of } from "./demo/answers.ts";
import { sample } from "./demo/samples.ts";
import { DISTILLATION, RECIPE } from "./demo/recipe.ts";
import { fit } from "./demo/sizing.ts";
import type { Trained } from "./demo/trained.ts";
import type { Host } from "./host.ts";
import { thinned, type ReportData, type RunSummary } from "./report-data.ts";
import { StoppedError } from "./stop.ts";
import trainJob, { percent, type TrainArgs, type TrainSummary } from "./train.ts";

export interface DemoArgs {
  /** Folder with train.bin and test.bin, and the teacher's weights. */
  readonly data: string;
  readonly teacher: string;
  readonly teacherNote: string;
  readonly out: string;
  readonly seed: number;
  /** Approximate seconds for both trainings together. */
  readonly budgetSeconds?: number | undefined;
  readonly command: string;
  readonly commit: string;
  readonly where: string;
  readonly date: string;
}

export default async function demoJob(host: Host, args: DemoArgs): Promise<ReportData> {
  const startMs = performance.now();
  const data = { trainPath: `${args.data}/train.bin`, testPath: `${args.data}/test.bin` };
  const [trainSet, testSet] = [parseCifar(await host.readFile(data.trainPath)), parseCifar(await host.readFile(data.testPath))];
  const { state, info } = readWeights(await host.readFile(args.teacher));
  const teacher = { model: createModel(info!.config as unknown as Record<string, unknown>), state };
  const answers = (model: Trained, label: string) =>
    answersOf(model, testSet, (done) => host.progress({ label: `${label}: evaluating`, done, total: testSet.count }));
  const taught = await answers(teacher, "teacher");
  const teacherTop1 = top1Of(taught, testSet);
  host.log({ message: `teacher ${describeModel(teacher.model)}: test top-1 ${percent(teacherTop1)}` });

  const { adapter } = getDevice();
  const size = await fit(host, teacher, trainSet, testSet, args.seed, args.budgetSeconds ?? (adapter.software ? 400 : 40));
  const model = createModel(size.config);
  host.log({ message: `student ${describeModel(model)}: ${size.epochs} epochs of ${trainSet.count} images, twice` });
  const { distilled, plain } = await trainBoth(host, args, data, size);
  const student = await trained(host, distilled);
  const all = {
    teacher: taught,
    distilled: await answers(student, "distilled"),
    plain: await answers(await trained(host, plain), "without the teacher"),
  };
  const shown = await sample(testSet, all, student);
  return {
    title: "A vision transformer distilled from a convolutional teacher",
    date: args.date,
    command: args.command,
    commit: args.commit,
    adapter: { name: adapterName(adapter), software: adapter.software, where: args.where },
    data: { name: "CIFAR-10 subset", train: trainSet.count, test: testSet.count, classes: trainSet.classes, side: trainSet.shape[1] },
    student: { name: "DeiT, distilled", ...factsOf(model), config: model.config as unknown as Record<string, unknown> },
    teacher: { name: "RegNetY", ...factsOf(teacher.model), top1: teacherTop1, trainedOn: args.teacherNote },
    ...shown,
    comparison: compare(testSet.labels, all.teacher, all.distilled, all.plain),
    runs: [distilled.run, plain.run],
    seconds: (performance.now() - startMs) / 1000,
  };
}

interface Ran {
  readonly run: RunSummary;
  readonly summary: TrainSummary;
}

/** Trains the student with the teacher; then, as the paper compares them, without teacher and distillation token. */
async function trainBoth(
  host: Host,
  args: DemoArgs,
  { trainPath, testPath }: { readonly trainPath: string; readonly testPath: string },
  { config, epochs }: { readonly config: Readonly<Record<string, unknown>>; readonly epochs: number },
): Promise<{ distilled: Ran; plain: Ran }> {
  const recipe = { ...RECIPE, epochs, warmupEpochs: Math.min(5, epochs / 10) };
  const common = {
    seed: args.seed,
    overwrite: true,
    train: { kind: "cifar10", paths: [trainPath] },
    test: { kind: "cifar10", paths: [testPath] },
    evalEvery: Math.max(1, Math.round(epochs / 10)),
  } as const;
  const distilled = await run(host, {
    ...{ ...common, model: config, label: "distilled", out: `${args.out}/distilled` },
    recipe: { ...recipe, ...DISTILLATION },
    teacher: { weights: args.teacher },
  });
  const plain = await run(
    host,
    { ...common, model: { ...config, distilled: false }, label: "without the teacher", out: `${args.out}/plain`, recipe },
    ({ epoch, test }) => {
      const beside = distilled.run.epochs.find((m) => m.epoch === epoch)!.test;
      host.log({
        message: `both after epoch ${epoch + 1}: distilled ${percent(beside.model.top1)}, without the teacher ${percent(test.model.top1)}`,
      });
    },
  );
  return { distilled, plain };
}

const trained = async (host: Host, { summary }: Ran): Promise<Trained> => ({
  model: createModel(summary.model.config),
  state: readWeights(await host.readFile(summary.weights)).state,
});

const factsOf = (model: Model) => ({ params: countParams(model.params), macs: model.macs });

async function run(host: Host, args: TrainArgs, onEpoch?: (m: EpochMetrics) => void): Promise<Ran> {
  const startMs = performance.now();
  const summary = await trainJob(host, args, onEpoch);
  if (!summary.finished)
    throw new StoppedError(
      `stopped after ${summary.step} steps of "${args.label}", whose weights are in ${summary.weights}; there is nothing to compare yet`,
    );
  return {
    summary,
    run: {
      title: args.label!,
      recipe: makeRecipe(args.recipe),
      steps: thinned(summary.steps),
      epochs: summary.epochs,
      imagesPerSecond: summary.imagesPerSecond,
      seconds: (performance.now() - startMs) / 1000,
      launchesPerStep: summary.launchesPerStep,
      gpuBytes: summary.gpuBytesPeak,
    },
  };
}

const describeModel = (model: Model): string =>
  `${(countParams(model.params) / 1e6).toFixed(2)} M parameters, ${(model.macs / 1e6).toFixed(1)} M multiply-adds an image`;

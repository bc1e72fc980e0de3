/**
 * `demo`: distils a DeiT student from the shipped CNN teacher on the shipped CIFAR-10 images, trains the same student without
 * the teacher, and reports both. Sizes itself to the adapter by timing a few steps first.
 */
import { adapterName, getDevice } from "../engine/device.ts";
import { Tensor } from "../engine/tensor.ts";
import { scope } from "../engine/memory.ts";
import { normalizeImages } from "../kernels/augment/normalize.ts";
import { thinned, type ReportData, type RunSummary, type Sample } from "./report-data.ts";
import { attentionMaps } from "../models/attention-maps.ts";
import { createModel, type Model } from "../models/model.ts";
import { countParams, loadParams, type Params, type State } from "../models/params.ts";
import { readWeights } from "../models/checkpoints/weights.ts";
import { balancedSubset, CIFAR10_MEAN, CIFAR10_STD, gather, parseCifar, type ImageSet } from "../train/data/dataset.ts";
import { memoryOnly } from "../train/input/memory.ts";
import { memorySource } from "../train/input/source.ts";
import { Evaluator } from "../train/evaluate.ts";
import { makeRecipe } from "../train/recipe.ts";
import { train } from "../train/train.ts";
import type { Host } from "./host.ts";
import trainJob, { percent, type TrainArgs, type TrainSummary } from "./train.ts";

export interface DemoArgs {
  /** Folder with train.bin and test.bin, and the teacher's weights. */
  readonly data: string;
  readonly teacher: string;
  readonly teacherNote: string;
  readonly out: string;
  readonly seed: number;
  /** About so long may both trainings take together. */
  readonly budgetSeconds?: number | undefined;
  readonly command: string;
  readonly commit: string;
  readonly where: string;
  readonly date: string;
}

/** Students by what they cost, smallest first. The first fits software adapters. */
const STUDENTS = [
  { dim: 64, depth: 4, heads: 2, patchSize: 8, maxEpochs: 60 },
  { dim: 96, depth: 6, heads: 3, patchSize: 4, maxEpochs: 80 },
  { dim: 192, depth: 9, heads: 3, patchSize: 4, maxEpochs: 120 },
] as const;

const MIN_EPOCHS = 2;

/** Time of the training without a teacher, as a share of that with one. */
const PLAIN_SHARE = 0.65;

/** Small data, few epochs: milder regularisation than the paper's 300 epochs on ImageNet. */
const RECIPE = {
  batchSize: 50,
  lr: 1e-3,
  scaleLr: false,
  schedule: "step",
  minLr: 1e-5,
  weightDecay: 0.05,
  labelSmoothing: 0.1,
  dropPath: 0,
  mixup: 0,
  cutmix: 0,
  emaDecay: null,
  cropPadding: 4,
  autoAugment: null,
  colorJitter: 0,
  erasing: 0,
  repeats: 1,
} as const;

const normalization = { mean: CIFAR10_MEAN, std: CIFAR10_STD };

export default async function demoJob(host: Host, args: DemoArgs): Promise<ReportData> {
  const startMs = performance.now();
  const trainPath = `${args.data}/train.bin`,
    testPath = `${args.data}/test.bin`;
  const [trainSet, testSet] = [parseCifar(await host.readFile(trainPath)), parseCifar(await host.readFile(testPath))];
  const { state: teacherState, info } = readWeights(await host.readFile(args.teacher));
  const teacher = { model: createModel(info!.config as unknown as Record<string, unknown>), state: teacherState };

  const teacherTop1 = await evaluateTeacher(host, teacher, testSet);
  host.log({ message: `teacher ${describeModel(teacher.model)}: test top-1 ${percent(teacherTop1)}` });

  const device = getDevice();
  const budget = args.budgetSeconds ?? (device.adapter.software ? 400 : 40);
  const { config, epochs } = await fit(host, teacher, trainSet, testSet, args.seed, budget);
  const model = createModel(config);
  host.log({ message: `student ${describeModel(model)}: ${epochs} epochs of ${trainSet.count} images, twice` });

  const recipe = { ...RECIPE, epochs, warmupEpochs: Math.min(5, epochs / 10) };
  const common: Omit<TrainArgs, "recipe" | "out"> = {
    model: config,
    seed: args.seed,
    overwrite: true,
    train: { kind: "cifar10", paths: [trainPath] },
    test: { kind: "cifar10", paths: [testPath] },
    evalEvery: Math.max(1, Math.round(epochs / 10)),
  };
  const distilled = await run(host, "distilled", {
    ...common,
    label: "distilled",
    recipe: { ...recipe, distillation: "hard" },
    teacher: { weights: args.teacher },
    out: `${args.out}/distilled`,
  });
  // The same student but for the distillation token, as in the paper's comparison: without a teacher nothing would train it.
  const plainConfig = { ...config, distilled: false };
  const plain = await run(host, "without the teacher", {
    ...common,
    model: plainConfig,
    label: "without the teacher",
    recipe,
    out: `${args.out}/plain`,
  });

  const states = await Promise.all([distilled, plain].map(async (r) => readWeights(await host.readFile(r.summary.weights)).state));
  const { samples, patches } = await sample(
    testSet,
    teacher,
    { model, state: states[0]! },
    { model: createModel(plainConfig), state: states[1]! },
  );
  return {
    title: "A vision transformer distilled from a convolutional teacher",
    date: args.date,
    command: args.command,
    commit: args.commit,
    adapter: { name: adapterName(device.adapter), software: device.adapter.software, where: args.where },
    data: { name: "CIFAR-10 subset", train: trainSet.count, test: testSet.count, classes: trainSet.classes, side: trainSet.shape[1] },
    student: {
      name: "DeiT, distilled",
      params: countParams(model.params),
      macs: model.macs,
      config: model.config as unknown as Record<string, unknown>,
    },
    teacher: {
      name: "RegNetY",
      params: countParams(teacher.model.params),
      macs: teacher.model.macs,
      top1: teacherTop1,
      trainedOn: args.teacherNote,
    },
    patches,
    runs: [distilled.run, plain.run],
    samples,
    seconds: (performance.now() - startMs) / 1000,
  };
}

/** A model with its weights. */
interface Trained {
  readonly model: Model;
  readonly state: State;
}

async function evaluateTeacher(host: Host, teacher: Trained, test: ImageSet): Promise<number> {
  const params = loadParams("teacher", teacher.model.params, teacher.state);
  const evaluator = await Evaluator.create(teacher.model, params, normalization, 100);
  const { model } = await evaluator.evaluate(memorySource(test, "test images"), {
    platform: memoryOnly,
    onProgress: (done) => host.progress({ label: "teacher: evaluating", done, total: test.count }),
  });
  evaluator.dispose();
  dispose(params);
  return model.top1;
}

/** The largest student, and as many epochs, as fit the time: found by timing a few distillation steps. */
async function fit(
  host: Host,
  teacher: Trained,
  trainSet: ImageSet,
  testSet: ImageSet,
  seed: number,
  budget: number,
): Promise<{ config: Record<string, unknown>; epochs: number }> {
  let best: { config: Record<string, unknown>; epochs: number } | null = null;
  for (const { maxEpochs, ...size } of STUDENTS) {
    const config = { arch: "deit", imgSize: trainSet.shape[1], numClasses: trainSet.classes.length, distilled: true, ...size };
    const trial = await train({
      model: createModel(config),
      teacher,
      train: memorySource(trainSet, "training images"),
      test: memorySource(firstOf(testSet, 50), "test images"),
      platform: memoryOnly,
      seed,
      normalization,
      recipe: makeRecipe({ ...RECIPE, epochs: 1, warmupEpochs: 0, distillation: "hard" }),
      maxSteps: 9,
      onCompile: (done, total) => host.progress({ label: "sizing the student to this adapter: compiling kernels", done, total }),
    });
    const epochs = Math.floor((budget * trial.imagesPerSecond) / ((1 + PLAIN_SHARE) * trainSet.count));
    if (best && epochs < maxEpochs / 2) break;
    best = { config, epochs: Math.max(MIN_EPOCHS, Math.min(maxEpochs, epochs)) };
    if (epochs < maxEpochs) break;
  }
  return best!;
}

async function run(host: Host, title: string, args: TrainArgs): Promise<{ run: RunSummary; summary: TrainSummary }> {
  const startMs = performance.now();
  const summary = await trainJob(host, args);
  return {
    summary,
    run: {
      title,
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

const SAMPLES_PER_CLASS = 2;

/** Some test images with everyone's answers and the distilled student's attention. */
async function sample(
  test: ImageSet,
  teacher: Trained,
  distilled: Trained,
  plain: Trained,
): Promise<{ samples: Sample[]; patches: number }> {
  const indices = balancedSubset(test, SAMPLES_PER_CLASS, 0);
  const { images, labels } = gather(test, indices);
  const set: ImageSet = { ...test, images, labels, count: indices.length };
  const answers: [string, number][][][] = [];
  for (const { model: m, state } of [teacher, distilled, plain]) {
    const params = loadParams(m.name, m.params, state);
    const evaluator = await Evaluator.create(m, params, normalization, set.count);
    const [logits] = await evaluator.logits(memorySource(set, "samples"), { platform: memoryOnly });
    answers.push(
      Array.from({ length: set.count }, (_, i) => topThree(logits!.subarray(i * m.numClasses, (i + 1) * m.numClasses), test.classes)),
    );
    evaluator.dispose();
    dispose(params);
  }
  const params = loadParams(distilled.model.name, distilled.model.params, distilled.state);
  const x = scope(() => normalizeImages(Tensor.from(images, [set.count, ...test.shape], "u8"), normalization));
  const maps = await attentionMaps(distilled.model, params, x);
  x.dispose();
  dispose(params);
  const size = images.length / set.count;
  const samples = Array.from(
    { length: set.count },
    (_, i): Sample => ({
      pixels: btoa(String.fromCharCode(...images.subarray(i * size, (i + 1) * size))),
      label: test.classes[labels[i]!]!,
      teacher: answers[0]![i]!,
      distilled: answers[1]![i]!,
      plain: answers[2]![i]!,
      attentionCls: [...maps.cls[i]!],
      attentionDist: [...(maps.dist?.[i] ?? [])],
    }),
  );
  return { samples, patches: maps.side };
}

function topThree(logits: Float32Array, classes: readonly string[]): [string, number][] {
  const max = Math.max(...logits);
  const e = Array.from(logits, (v) => Math.exp(v - max));
  const sum = e.reduce((a, b) => a + b, 0);
  return e
    .map((v, k): [string, number] => [classes[k]!, v / sum])
    .sort((a, b) => b[1] - a[1])
    .slice(0, 3);
}

const firstOf = (set: ImageSet, n: number): ImageSet => ({
  ...set,
  ...gather(
    set,
    Uint32Array.from({ length: n }, (_, i) => i),
  ),
  count: n,
});

function dispose(params: Params): void {
  for (const t of Object.values(params)) t.dispose();
}

const describeModel = (model: Model): string =>
  `${(countParams(model.params) / 1e6).toFixed(2)} M parameters, ${(model.macs / 1e6).toFixed(1)} M multiply-adds an image`;

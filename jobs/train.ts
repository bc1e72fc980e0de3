/** `train`: trains or distils on a data set, saves checkpoints, resumes. */
import { adapterName, getDevice } from "../engine/device.ts";
import { DeviceLostError, OutOfMemoryError } from "../engine/errors.ts";
import { createModel, type Model } from "../models/model.ts";
import { countParams, type State } from "../models/params.ts";
import { resizedPosEmbed } from "../models/pos-embed.ts";
import { IMAGENET, preprocessing } from "../models/images/protocols.ts";
import { replaceHead, writeWeights, type Weights } from "../models/checkpoints/weights.ts";
import { openSource, type DataFiles } from "../train/data/open.ts";
import { checkCheckpoint } from "../train/checkpoint.ts";
import type { EpochMetrics, StepMetrics } from "../train/metrics.ts";
import { makeRecipe, type Recipe } from "../train/recipe.ts";
import { checkRun, train } from "../train/train.ts";
import { checkDtype } from "./files/dtype.ts";
import { refusing, UsageError } from "./errors.ts";
import type { Host } from "./host.ts";
import { dataStatistics, loadTeacher, ownStatistics, type Statistics } from "./files/load-model.ts";
import { tensorboardFile, type ScalarEvent } from "./files/tensorboard.ts";
import { readWeightsFile } from "./files/weights-file.ts";

export interface TrainArgs {
  /** A timm name or a config; without classes of its own it has the data's. */
  readonly model: string | Readonly<Record<string, unknown>>;
  readonly recipe: Readonly<Record<string, unknown>>;
  readonly seed: number;
  readonly train: DataFiles;
  readonly test: DataFiles;
  /** A weights file, with its config inside or given. */
  readonly teacher?: { readonly weights: string; readonly model?: string | Readonly<Record<string, unknown>> | undefined } | undefined;
  /** Folder for checkpoint.safetensors, model.safetensors, metrics.jsonl and TensorBoard's events. */
  readonly out: string;
  readonly resume?: boolean | undefined;
  /** Weights to begin with; on request with a new classifier, or with the position embedding of another resolution. */
  readonly initial?: string | undefined;
  readonly replaceHead?: boolean | undefined;
  readonly resizePosEmbed?: boolean | undefined;
  readonly workers?: number | undefined;
  readonly maxCorrupt?: number | undefined;
  /** Where images are augmented; "gpu" unless given. */
  readonly augment?: "gpu" | "cpu" | undefined;
  readonly maxSteps?: number | undefined;
  readonly saveEvery?: number | undefined;
  readonly saveSeconds?: number | undefined;
  readonly evalEvery?: number | undefined;
  /** Shown with progress. */
  readonly label?: string | undefined;
}

export interface TrainSummary {
  readonly data: { readonly train: number; readonly test: number; readonly classes: readonly string[] };
  readonly model: ModelFacts;
  readonly teacher: ModelFacts | null;
  readonly adapter: { readonly name: string; readonly software: boolean };
  readonly seconds: number;
  /** As it was in effect. */
  readonly recipe: Recipe;
  readonly epochs: readonly EpochMetrics[];
  readonly steps: readonly StepMetrics[];
  readonly finished: boolean;
  readonly step: number;
  readonly imagesPerSecond: number;
  readonly launchesPerStep: number;
  readonly planBytes: number;
  readonly gpuBytesPeak: number;
  readonly weights: string;
}

/** For people. */
export interface ModelFacts {
  readonly name: string;
  readonly side: number;
  readonly params: number;
  readonly macs: number;
  readonly config: Readonly<Record<string, unknown>>;
}

const factsOf = (model: Model): ModelFacts => ({
  name: model.name,
  side: model.imageShape[1],
  params: countParams(model.params),
  macs: model.macs,
  config: model.config as unknown as Record<string, unknown>,
});

/** A line of metrics with the seconds since 1970 at which it was written. */
type Line = (StepMetrics | EpochMetrics) & { readonly time: number };

/** What is lost at most with the device. */
const SAVE_SECONDS = 300;

export default async function trainJob(host: Host, args: TrainArgs): Promise<TrainSummary> {
  const startMs = performance.now();
  const recipe = refusing(() => makeRecipe(args.recipe));
  for (const dtype of [recipe.dtype, recipe.teacherDtype]) checkDtype(dtype);
  const given = typeof args.model === "object" ? args.model["numClasses"] : undefined;
  const trainSet = await open(host, args.train, typeof given === "number" ? given : undefined);
  const testSet = await open(host, args.test, trainSet.classes);
  const model = refusing(() =>
    createModel(args.model, typeof args.model === "string" || !("numClasses" in args.model) ? trainSet.classes.length : undefined),
  );
  const initial = args.initial === undefined ? null : await readWeightsFile(host, args.initial);
  const normalization = normalizationFor(args.train, model, initial);
  const teacher = args.teacher ? await loadTeacher(host, args.teacher.weights, args.teacher.model, model, normalization) : undefined;
  const at = (name: string) => `${args.out}/${name}`;
  const paths = {
    checkpoint: at("checkpoint.safetensors"),
    weights: at("model.safetensors"),
    ema: at("model_ema.safetensors"),
    metrics: at("metrics.jsonl"),
    events: at("events.out.tfevents.tessera"),
  };
  if (args.resume && !(await host.exists(paths.checkpoint)))
    throw new UsageError(`expected a checkpoint to resume at ${paths.checkpoint}, got none`);
  const resume = args.resume ? await host.readFile(paths.checkpoint) : undefined;
  refusing(() => checkRun({ model, recipe, train: trainSet, test: testSet, teacher }));
  let saved: number | null = resume
    ? refusing(() => checkCheckpoint(resume, args.seed, recipe, model.config), paths.checkpoint).step
    : null;
  const metrics: Line[] = [];
  if (saved !== null && (await host.exists(paths.metrics))) {
    // The lines are written before the checkpoint, so a kill between the two leaves lines of steps that are to be done again.
    const step = saved;
    metrics.push(...readLines(await host.readFile(paths.metrics)).filter((m) => m.step <= step));
  }
  const label = args.label ?? "train";
  const losses = metrics.filter((m) => m.kind === "step").map((m) => m.loss);

  const result = await train({
    model,
    recipe,
    seed: args.seed,
    train: trainSet,
    test: testSet,
    teacher,
    resume,
    normalization,
    platform: host.images,
    workers: args.workers,
    maxCorrupt: args.maxCorrupt,
    augment: args.augment,
    initial: initial ? beginning(host, model, initial, args) : undefined,
    maxSteps: args.maxSteps,
    saveEvery: args.saveEvery,
    saveSeconds: args.saveSeconds ?? SAVE_SECONDS,
    evalEvery: args.evalEvery,
    shouldStop: () => host.stopAsked(),
    onCompile: (done, total) => host.progress({ label: `${label}: compiling kernels`, done, total }),
    onCorrupt: ({ name, reason }) => host.log({ message: `${label}: ${name} left out: ${reason}` }),
    onMetrics(m) {
      metrics.push({ ...m, time: Date.now() / 1000 });
      if (m.kind === "step") {
        const waits = m.inputWait >= 0.05 ? `, ${percent(m.inputWait)} waiting for images` : "";
        losses.push(m.loss);
        host.progress({
          label,
          done: m.step,
          total: m.totalSteps,
          curve: losses,
          note: `epoch ${m.epoch + 1}, loss ${m.loss.toFixed(3)}, ${m.imagesPerSecond.toFixed(0)} images/s${waits}`,
        });
        if (!m.finite)
          host.log({ message: `${label}: step ${m.step}: loss ${m.loss} or its gradients are not finite; the update was skipped` });
      } else {
        host.log({ message: `${label}: ${describe(m)}` });
      }
    },
    async onCheckpoint(bytes, position) {
      // Metrics first: a checkpoint never stands without the lines that lead to it.
      const lines = metrics.filter((m) => m.step <= position.step);
      await host.writeFile(paths.metrics, new TextEncoder().encode(lines.map((m) => `${JSON.stringify(m)}\n`).join("")));
      await host.writeFile(paths.events, tensorboardFile(lines.flatMap(scalarsOf)));
      await host.writeFile(paths.checkpoint, bytes);
      saved = position.step;
    },
  }).catch((error: unknown) => {
    const cause = error as Error;
    if (!(cause instanceof DeviceLostError || cause instanceof OutOfMemoryError)) throw cause;
    const stands =
      saved === null ? "no checkpoint was saved yet" : `the checkpoint of step ${saved} stands in ${paths.checkpoint}; go on with --resume`;
    const relief = cause instanceof OutOfMemoryError ? "; smaller batches take less, with --accumulate for the same update" : "";
    throw Object.assign(cause, { message: `${label}: ${cause.message.split("\n")[0]}; ${stands}${relief}` });
  });
  const info = { config: model.config, classes: [...trainSet.classes], ...normalization };
  await host.writeFile(paths.weights, writeWeights(result.state, info));
  if (result.ema) await host.writeFile(paths.ema, writeWeights(result.ema, info));
  const { adapter } = getDevice();
  return {
    data: { train: trainSet.count, test: testSet.count, classes: trainSet.classes },
    model: factsOf(model),
    teacher: teacher ? factsOf(teacher.model) : null,
    adapter: { name: adapterName(adapter), software: adapter.software },
    seconds: (performance.now() - startMs) / 1000,
    recipe,
    epochs: metrics.filter((m) => m.kind === "epoch"),
    steps: metrics.filter((m) => m.kind === "step"),
    finished: result.finished,
    step: result.position.step,
    imagesPerSecond: result.imagesPerSecond,
    launchesPerStep: result.launches,
    planBytes: result.planBytes,
    gpuBytesPeak: getDevice().stats.bytesPeak,
    weights: paths.weights,
  };
}

const open = (host: Host, files: DataFiles, classes: number | readonly string[] | undefined) =>
  openSource(files, (from) => host.images.read(from), classes).catch((error: Error) => {
    throw new UsageError(error.message);
  });

/** What the weights were trained with; of weights that do not say, what timm has for the model. From scratch the data's own. */
function normalizationFor(data: DataFiles, { name, imageShape }: Model, initial: Weights | null): Statistics {
  if (!initial) return dataStatistics(data) ?? IMAGENET;
  const { mean, std } = preprocessing("timm", name, imageShape[1]);
  return ownStatistics(initial) ?? { mean, std };
}

/** The weights that training begins with, fitted to the model as far as was asked. */
function beginning(host: Host, model: Model, { state }: Weights, args: TrainArgs): State {
  let fitted: State = state;
  if (args.resizePosEmbed) fitted = refusing(() => resizedPosEmbed(fitted, model), args.initial);
  if (args.replaceHead) {
    const { state: with_, replaced } = refusing(() => replaceHead(model.params, fitted, args.seed), args.initial);
    host.log({ message: `classifier begun anew: ${replaced.join(", ")}` });
    fitted = with_;
  }
  return fitted;
}

/** A line of metrics as TensorBoard has it. */
function scalarsOf(m: Line): ScalarEvent[] {
  const values: Record<string, number | undefined> =
    m.kind === "step"
      ? {
          "train/loss": m.loss,
          "train/loss_base": m.base,
          "train/loss_distill": m.distill,
          "train/lr": m.lr,
          "train/grad_norm": m.gradNorm,
          "train/top1": m.trainTop1,
          "train/images_per_second": m.imagesPerSecond,
          "train/input_wait": m.inputWait,
          "train/loss_scale": m.lossScale,
        }
      : {
          "test/top1": m.test.model.top1,
          "test/top5": m.test.model.top5,
          "test/loss": m.test.model.loss,
          "test/top1_cls": m.test.cls?.top1,
          "test/top1_dist": m.test.dist?.top1,
        };
  return Object.entries(values).flatMap(([tag, value]) => (value === undefined ? [] : [{ tag, value, step: m.step, wallTime: m.time }]));
}

export const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;

/** One epoch in a line. */
export function describe(m: EpochMetrics): string {
  const { model, cls, dist } = m.test;
  const heads = cls && dist ? ` (class head ${percent(cls.top1)}, distillation head ${percent(dist.top1)})` : "";
  return `epoch ${m.epoch + 1}: train loss ${m.trainLoss.toFixed(4)}, top-1 ${percent(m.trainTop1)}; test top-1 ${percent(model.top1)}${heads}, ${m.seconds.toFixed(0)} s`;
}

const readLines = (bytes: Uint8Array): Line[] =>
  new TextDecoder()
    .decode(bytes)
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Line);

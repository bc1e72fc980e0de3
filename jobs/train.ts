/** `train`: trains or distils a model on a data set; saves checkpoints and resumes from them. */
import { adapterName, getDevice } from "../engine/device.ts";
import { DeviceLostError, OutOfMemoryError } from "../engine/errors.ts";
import type { Model } from "../models/model.ts";
import { countParams } from "../models/params.ts";
import { ADAPTER_FILES, writeAdapter } from "../models/checkpoints/peft.ts";
import { writeWeights } from "../models/checkpoints/weights.ts";
import { checkpointPosition } from "../train/checkpoint.ts";
import { ResumeError } from "../train/identity.ts";
import type { EpochMetrics, StepMetrics } from "../train/metrics.ts";
import type { Recipe } from "../train/recipe.ts";
import { loraOf } from "../train/student.ts";
import { train, type TrainOptions } from "../train/train.ts";
import { refusing, UsageError } from "./errors.ts";
import type { Host } from "./host.ts";
import { describeLayers } from "../train/debug-text.ts";
import { Curve } from "./files/curve.ts";
import { RunLog } from "./files/run-log.ts";
import { unlessStopped } from "./stop.ts";
import { beginning } from "./train/beginning.ts";
import { readSettings, type TrainArgs } from "./train/settings.ts";

export type { TrainArgs } from "./train/settings.ts";

export interface TrainSummary {
  readonly data: { readonly train: number; readonly test: number; readonly classes: readonly string[] };
  readonly model: ModelFacts;
  readonly teacher: ModelFacts | null;
  readonly adapter: { readonly name: string; readonly software: boolean };
  readonly seconds: number;
  /** The complete recipe that was used. */
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

/** Seconds between saves: the most training that a lost device costs. */
const SAVE_SECONDS = 300;

/** `onEpoch` is called with each evaluation, for a job that trains as a part of its own work. */
export default async function trainJob(host: Host, args: TrainArgs, onEpoch?: (m: EpochMetrics) => void): Promise<TrainSummary> {
  const startMs = performance.now();
  const run = await unlessStopped(host, prepare(host, args));
  const { paths, log } = run;
  const { model, normalization, teacher, train: images, test } = run.options;
  const result = await train({ ...run.options, ...callbacks(host, args, run, onEpoch) }).catch((error: Error) => {
    throw explained(error, args, run);
  });
  const info = { config: model.config, classes: [...images.classes], ...normalization };
  await save(host, run, paths.weights, writeWeights(result.state, info));
  const lora = loraOf(model, run.options.recipe);
  if (lora) {
    const adapter = writeAdapter(model, lora, result.learned);
    await save(host, run, paths.adapter, adapter.weights);
    await save(host, run, paths.adapterConfig, adapter.config);
  }
  if (result.ema) await save(host, run, paths.ema, writeWeights(result.ema, info));
  const { adapter, stats } = getDevice();
  return {
    data: { train: images.count, test: test.count, classes: images.classes },
    model: factsOf(model),
    teacher: teacher ? factsOf(teacher.model) : null,
    adapter: { name: adapterName(adapter), software: adapter.software },
    seconds: (performance.now() - startMs) / 1000,
    recipe: run.options.recipe,
    epochs: log.lines.filter((m) => m.kind === "epoch"),
    steps: log.lines.filter((m) => m.kind === "step"),
    finished: result.finished,
    step: result.position.step,
    imagesPerSecond: result.imagesPerSecond,
    launchesPerStep: result.launches,
    planBytes: result.planBytes,
    gpuBytesPeak: stats.bytesAllocatedPeak,
    weights: paths.weights,
  };
}

/** A run with its arguments read and checked. */
interface Prepared {
  readonly paths: Readonly<Record<"checkpoint" | "weights" | "ema" | "metrics" | "events" | "adapter" | "adapterConfig", string>>;
  readonly log: RunLog;
  readonly options: TrainOptions;
  /** Update number of the newest checkpoint in the folder. */
  savedStep: number | null;
}

/** Loads data and weights, and throws for a run that cannot work, before any training. */
async function prepare(host: Host, args: TrainArgs): Promise<Prepared> {
  const paths = pathsIn(args.out);
  await checkFolder(host, args, paths);
  const { initial, memory, ...settings } = await readSettings(host, args);
  const { model } = settings;
  const resume = args.resume ? await host.readFile(paths.checkpoint) : undefined;
  const savedStep = resume ? savedStepOf(resume, paths.checkpoint) : null;
  const options: TrainOptions = {
    ...settings,
    ...{ seed: args.seed, resume },
    platform: host.images,
    workers: args.workers,
    maxCorrupt: args.maxCorrupt,
    allowChanged: args.allowChanged,
    initial: initial ? beginning(host, model, initial, args) : undefined,
    maxSteps: args.maxSteps,
    saveEvery: args.saveEvery,
    saveSeconds: args.saveSeconds ?? SAVE_SECONDS,
    evalEvery: args.evalEvery,
  };
  const log = await RunLog.open(host, paths, savedStep);
  host.log({
    message: `${labelOf(args)}: takes ${mebibytes(memory.peak)} of GPU memory${memory.replay > 0 ? `, and ${mebibytes(memory.replay)} more while it looks into an update` : ""}`,
  });
  return { options, paths, log, savedStep };
}

function savedStepOf(checkpoint: Uint8Array, path: string): number {
  try {
    return refusing(() => checkpointPosition(checkpoint), path).step;
  } catch (error) {
    throw notResumable(error as Error, path);
  }
}

/** Makes the error of an unusable checkpoint a `UsageError`. */
const notResumable = (error: Error, path: string): Error =>
  error instanceof ResumeError ? new UsageError(`${error.message.replace(/^resume: /, "")} (${path})`) : error;

const pathsIn = (folder: string): Prepared["paths"] => ({
  checkpoint: `${folder}/checkpoint.safetensors`,
  weights: `${folder}/model.safetensors`,
  ema: `${folder}/model_ema.safetensors`,
  metrics: `${folder}/metrics.jsonl`,
  events: `${folder}/events.out.tfevents.tessera`,
  adapter: `${folder}/${ADAPTER_FILES.weights}`,
  adapterConfig: `${folder}/${ADAPTER_FILES.config}`,
});

/** Throws if the folder holds a run and neither `resume` nor `overwrite` is given, so that two runs never mix. */
async function checkFolder(host: Host, { resume, overwrite, out }: TrainArgs, { checkpoint, weights }: Prepared["paths"]): Promise<void> {
  const there = await host.exists(checkpoint);
  if (resume && overwrite) throw new UsageError("expected either --resume or --overwrite, got both");
  if (resume && !there) throw new UsageError(`expected a checkpoint to resume at ${checkpoint}, got none`);
  if (!resume && !overwrite && (there || (await host.exists(weights))))
    throw new UsageError(`expected --resume or --overwrite for ${out}, which holds a run, got neither`);
}

/** Callbacks of the run: metrics, checkpoints, stop requests. */
function callbacks(host: Host, args: TrainArgs, run: Prepared, onEpoch?: (m: EpochMetrics) => void): Partial<TrainOptions> {
  const label = labelOf(args);
  const curve = new Curve();
  for (const m of run.log.lines) if (m.kind === "step") curve.add(m.loss);
  return {
    shouldStop: () => host.stopAsked(),
    onCompile: (done, total) => host.progress({ label: `${label}: compiling kernels`, done, total }),
    onCorrupt: ({ name, reason }) => host.log({ message: `${label}: ${name} left out: ${reason}` }),
    onMetrics(m) {
      run.log.add(m);
      if (m.kind === "epoch") {
        host.log({ message: `${label}: ${describe(m)}` });
        return onEpoch?.(m);
      }
      curve.add(m.loss);
      host.progress({ label, done: m.step, total: m.totalSteps, curve: curve.points, note: noteOf(m) });
      if (!m.finite)
        host.log({ message: `${label}: step ${m.step}: loss ${m.loss} or its gradients are not finite; the update was skipped` });
    },
    onStats: ({ step, layers }) => host.log({ message: `${label}: update ${step}\n${describeLayers(layers)}` }),
    async onCheckpoint(bytes, { step }) {
      // Metrics first: a checkpoint never stands without the lines that lead to it.
      await run.log.flush().catch((error: Error) => {
        throw unwritten(error, run, run.paths.metrics);
      });
      await save(host, run, run.paths.checkpoint, bytes);
      run.savedStep = step;
    },
  };
}

const labelOf = ({ label = "train" }: TrainArgs): string => label;

function noteOf(m: StepMetrics): string {
  const waits = m.inputWait >= 0.05 ? `, ${percent(m.inputWait)} waiting for images` : "";
  return `epoch ${m.epoch + 1}, loss ${m.loss.toFixed(3)}, ${m.imagesPerSecond.toFixed(0)} images/s${waits}`;
}

const save = (host: Host, run: Prepared, path: string, bytes: Uint8Array): Promise<void> =>
  host.writeFile(path, bytes).catch((error: Error) => {
    throw unwritten(error, run, path, bytes.length);
  });

/** The error of a failed write: names the file and the newest checkpoint that is safe. */
function unwritten(error: Error, run: Prepared, path: string, bytes?: number): Error {
  const code = /(?:^|, got )(E[A-Z]+)\b/.exec(error.message)?.[1];
  if (code === undefined) return error;
  const size = bytes === undefined ? "" : ` of ${bytes} bytes`;
  return new Error(`train: expected room for ${path}${size}, got ${code}; ${standing(run)}`);
}

const standing = ({ savedStep, paths }: Prepared): string =>
  savedStep === null ? "no checkpoint was saved yet" : `the checkpoint of step ${savedStep} stands in ${paths.checkpoint}`;

/** Adds advice to an error of the run. */
function explained(error: Error, args: TrainArgs, run: Prepared): Error {
  if (!(error instanceof DeviceLostError || error instanceof OutOfMemoryError)) return notResumable(error, run.paths.checkpoint);
  const advice = run.savedStep === null ? "" : "; go on with --resume";
  const relief = error instanceof OutOfMemoryError ? "; smaller batches take less, with --accumulate for the same update" : "";
  return Object.assign(error, { message: `${labelOf(args)}: ${error.message.split("\n")[0]}; ${standing(run)}${advice}${relief}` });
}

/** Bytes for people. */
const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

export const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;

/** One epoch in a line. */
export function describe(m: EpochMetrics): string {
  const { model, cls, dist } = m.test;
  const heads = cls && dist ? ` (class head ${percent(cls.top1)}, distillation head ${percent(dist.top1)})` : "";
  return `epoch ${m.epoch + 1}: train loss ${m.trainLoss.toFixed(4)}, top-1 ${percent(m.trainTop1)}; test top-1 ${percent(model.top1)}${heads}, ${m.seconds.toFixed(0)} s`;
}

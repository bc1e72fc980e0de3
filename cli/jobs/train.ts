/** `train`: trains or distils on a data set, saves checkpoints, resumes. */
import { getDevice } from "../../engine/device.ts";
import { createModel } from "../../models/model.ts";
import { readWeights, writeWeights } from "../../models/weights.ts";
import { CIFAR10_MEAN, CIFAR10_STD, parseCifar } from "../../train/data.ts";
import { checkpointPosition } from "../../train/checkpoint.ts";
import { makeRecipe } from "../../train/recipe.ts";
import { train, type EpochMetrics, type StepMetrics } from "../../train/train.ts";
import { refusing, UsageError } from "../errors.ts";
import type { Host } from "../host.ts";
import { loadTeacher } from "../load-model.ts";

export interface TrainArgs {
  /** A timm name or a config. */
  readonly model: string | Readonly<Record<string, unknown>>;
  readonly recipe: Readonly<Record<string, unknown>>;
  readonly seed: number;
  /** CIFAR-10 binary files. */
  readonly train: string;
  readonly test: string;
  /** A weights file, with its config inside or given. */
  readonly teacher?: { readonly weights: string; readonly model?: string | Readonly<Record<string, unknown>> | undefined } | undefined;
  /** Folder for checkpoint.safetensors, model.safetensors and metrics.jsonl. */
  readonly out: string;
  readonly resume?: boolean | undefined;
  readonly initial?: string | undefined;
  readonly maxSteps?: number | undefined;
  readonly saveEvery?: number | undefined;
  readonly evalEvery?: number | undefined;
  /** Shown with progress. */
  readonly label?: string | undefined;
}

export interface TrainSummary {
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

export default async function trainJob(host: Host, args: TrainArgs): Promise<TrainSummary> {
  const recipe = refusing(() => makeRecipe(args.recipe));
  const model = refusing(() => createModel(args.model));
  const [trainSet, testSet] = [await host.readFile(args.train), await host.readFile(args.test)].map((bytes) => refusing(() => parseCifar(bytes)));
  const normalization = { mean: CIFAR10_MEAN, std: CIFAR10_STD };
  const teacher = args.teacher ? await loadTeacher(host, args.teacher.weights, args.teacher.model, model, normalization) : undefined;
  const paths = { checkpoint: `${args.out}/checkpoint.safetensors`, weights: `${args.out}/model.safetensors`, ema: `${args.out}/model_ema.safetensors`, metrics: `${args.out}/metrics.jsonl` };
  if (args.resume && !(await host.exists(paths.checkpoint))) throw new UsageError(`expected a checkpoint to resume at ${paths.checkpoint}, got none`);
  const resume = args.resume ? await host.readFile(paths.checkpoint) : undefined;
  const metrics: (StepMetrics | EpochMetrics)[] = [];
  if (resume && (await host.exists(paths.metrics))) {
    // The lines are written before the checkpoint, so a kill between the two leaves lines of steps that are to be done again.
    const { step } = refusing(() => checkpointPosition(resume), paths.checkpoint);
    metrics.push(...readLines(await host.readFile(paths.metrics)).filter((m) => m.step <= step));
  }
  const label = args.label ?? "train";

  const result = await train({
    model, recipe, seed: args.seed, train: trainSet!, test: testSet!, teacher, resume,
    normalization,
    initial: args.initial ? readWeights(await host.readFile(args.initial)).state : undefined,
    maxSteps: args.maxSteps, saveEvery: args.saveEvery, evalEvery: args.evalEvery,
    onCompile: (done, total) => host.progress({ label: `${label}: compiling kernels`, done, total }),
    onMetrics(m) {
      metrics.push(m);
      if (m.kind === "step") {
        host.progress({ label, done: m.step, total: m.totalSteps, note: `epoch ${m.epoch + 1}, loss ${m.loss.toFixed(3)}, ${m.imagesPerSecond.toFixed(0)} images/s` });
        if (!m.finite) host.log({ message: `${label}: step ${m.step}: loss ${m.loss} or its gradients are not finite; the update was skipped` });
      } else {
        host.log({ message: `${label}: ${describe(m)}` });
      }
    },
    async onCheckpoint(bytes, position) {
      // Metrics first: a checkpoint never stands without the lines that lead to it.
      const lines = metrics.filter((m) => m.step <= position.step);
      await host.writeFile(paths.metrics, new TextEncoder().encode(lines.map((m) => `${JSON.stringify(m)}\n`).join("")));
      await host.writeFile(paths.checkpoint, bytes);
    },
  });
  const info = { config: model.config, classes: trainSet!.classes, ...normalization };
  await host.writeFile(paths.weights, writeWeights(result.state, info));
  if (result.ema) await host.writeFile(paths.ema, writeWeights(result.ema, info));
  return {
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

export const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;

/** One epoch in a line. */
export function describe(m: EpochMetrics): string {
  const { model, cls, dist } = m.test;
  const heads = cls && dist ? ` (class head ${percent(cls.top1)}, distillation head ${percent(dist.top1)})` : "";
  return `epoch ${m.epoch + 1}: train loss ${m.trainLoss.toFixed(4)}, top-1 ${percent(m.trainTop1)}; test top-1 ${percent(model.top1)}${heads}, ${m.seconds.toFixed(0)} s`;
}

const readLines = (bytes: Uint8Array): (StepMetrics | EpochMetrics)[] =>
  new TextDecoder().decode(bytes).split("\n").filter(Boolean).map((line) => JSON.parse(line) as StepMetrics | EpochMetrics);

/** `eval`: top-1, top-5, loss and images per second of a checkpoint on a split. */
import { createModel, type Model } from "../../models/model.ts";
import { loadParams } from "../../models/params.ts";
import { readWeights, type Weights } from "../../models/weights.ts";
import { CIFAR10_MEAN, CIFAR10_STD, parseCifar } from "../../train/data.ts";
import { Evaluator, type Evaluation } from "../../train/evaluate.ts";
import { UsageError } from "../errors.ts";
import type { Host } from "../host.ts";
import { refusing } from "./train.ts";

export interface EvalArgs {
  readonly weights: string;
  /** Where the file does not name its model. */
  readonly model?: string | Readonly<Record<string, unknown>> | undefined;
  readonly data: string;
  readonly batchSize: number;
}

export default async function evalJob(host: Host, args: EvalArgs): Promise<Evaluation> {
  const { model, weights } = await loadModel(host, args.weights, args.model);
  const bytes = await host.readFile(args.data);
  const set = refusing(() => parseCifar(bytes, weights.info?.classes ?? model.numClasses), args.data);
  const params = refusing(() => loadParams(model.name, model.params, weights.state), args.weights);
  const evaluator = await Evaluator.create(model, params, normalizationOf(weights), args.batchSize);
  return evaluator.evaluate(set, (done) => host.progress({ label: "eval", done, total: set.count }));
}

export async function loadModel(host: Host, path: string, given?: EvalArgs["model"]): Promise<{ model: Model; weights: Weights }> {
  const bytes = await host.readFile(path);
  const weights = refusing(() => readWeights(bytes), path);
  const what = given ?? (weights.info?.config as unknown as Record<string, unknown> | undefined);
  if (!what) throw new UsageError(`expected --model or --config for ${path} (the file does not name its model), got neither`);
  return { model: refusing(() => createModel(what)), weights };
}

export const normalizationOf = ({ info }: Weights) => ({ mean: info?.mean ?? CIFAR10_MEAN, std: info?.std ?? CIFAR10_STD });

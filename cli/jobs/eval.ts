/** `eval`: top-1, top-5, loss and images per second of a checkpoint on a split. */
import { loadParams } from "../../models/params.ts";
import { parseCifar } from "../../train/data.ts";
import { Evaluator, type Evaluation } from "../../train/evaluate.ts";
import { refusing } from "../errors.ts";
import type { Host } from "../host.ts";
import { loadModel, normalizationOf, type ModelChoice } from "../load-model.ts";

export interface EvalArgs {
  readonly weights: string;
  /** Where the file does not name its model. */
  readonly model?: ModelChoice | undefined;
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

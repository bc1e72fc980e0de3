/** `eval`: top-1, top-5, loss and images per second of a checkpoint on a split. */
import type { HeadChoice } from "../models/heads.ts";
import { loadParams } from "../models/params.ts";
import { preprocessing, type Protocol } from "../models/images/protocols.ts";
import { storedModel, storedParams } from "../models/mixed-precision.ts";
import { openSource, type DataFiles } from "../train/data/open.ts";
import { Evaluator, type Evaluation } from "../train/evaluate.ts";
import { checkDtype, type StoredType } from "./files/dtype.ts";
import { refusing, UsageError } from "./errors.ts";
import type { Host } from "./host.ts";
import { dataStatistics, fittedState, loadModel, ownStatistics, type ModelChoice } from "./files/load-model.ts";

export interface EvalArgs {
  readonly weights: string;
  /** Where the file does not name its model. */
  readonly model?: ModelChoice | undefined;
  readonly data: DataFiles;
  readonly batchSize: number;
  readonly head?: HeadChoice | undefined;
  /** Whose resizing and crop, and whose statistics for weights that do not name theirs. */
  readonly protocol?: Protocol | undefined;
  readonly resizePosEmbed?: boolean | undefined;
  /** Threads that read and decode images. */
  readonly workers?: number | undefined;
  /** How activations and matrices are stored. */
  readonly dtype?: StoredType | undefined;
}

export interface EvalResult extends Evaluation {
  /** Recording the model and compiling its pipelines, which `imagesPerSecond` leaves out. */
  readonly warmUpMs: number;
}

export default async function evalJob(host: Host, args: EvalArgs): Promise<EvalResult> {
  const { dtype = "f32" } = args;
  checkDtype(dtype);
  const { model, weights } = await loadModel(host, args.weights, args.model);
  // The file's own classes, where it has any, are what its logits stand for.
  const files: DataFiles =
    args.data.kind === "cifar10" && weights.info?.classes ? { ...args.data, classes: weights.info.classes } : args.data;
  const images = await openSource(files, (from) => host.images.read(from)).catch((error: Error) => {
    throw new UsageError(error.message);
  });
  const params = storedParams(
    refusing(() => loadParams(model.name, model.params, fittedState(model, weights, args.resizePosEmbed, args.weights)), args.weights),
    dtype,
  );
  if (!model.distilled && (args.head === "dist" || args.head === "softmax-sum"))
    throw new UsageError(`expected a distilled model for --head ${args.head}, got ${model.name} with a single head`);
  const startMs = performance.now();
  const { mean, std, ...placing } = preprocessing(args.protocol ?? "official", model.name, model.imageShape[1]);
  const normalization = ownStatistics(weights) ?? (args.protocol ? null : dataStatistics(args.data)) ?? { mean, std };
  const evaluator = await Evaluator.create(storedModel(model, dtype), params, normalization, args.batchSize, (done, total) =>
    host.progress({ label: "compiling kernels", done, total }),
  );
  const warmUpMs = performance.now() - startMs;
  const scored = await evaluator.evaluate(images, {
    platform: host.images,
    workers: args.workers,
    placing: args.protocol && placing,
    head: args.head,
    onProgress: (done) => host.progress({ label: "eval", done, total: images.count }),
  });
  return { ...scored, warmUpMs };
}

/** `eval`: top-1, top-5, loss and images per second of a checkpoint on a split. */
import type { HeadChoice } from "../models/heads.ts";
import { loadParams } from "../models/params.ts";
import { preprocessing, type Protocol } from "../models/images/protocols.ts";
import { storedModel, storedParams } from "../models/mixed-precision.ts";
import { writeSafetensors, type SafeTensor } from "../models/checkpoints/safetensors.ts";
import { openSource, type DataFiles } from "../train/data/open.ts";
import type { ImageSource } from "../train/input/source.ts";
import { Evaluator, type Evaluation } from "../train/evaluate.ts";
import { checkDtype, type StoredType } from "./files/dtype.ts";
import { asUsage, refusing, UsageError } from "./errors.ts";
import type { Host } from "./host.ts";
import { shown } from "../models/shown.ts";
import { checkClassifier, dataStatistics, fittedState, loadModel, ownStatistics, type ModelChoice } from "./files/load-model.ts";

export interface EvalArgs {
  readonly weights: string;
  /** For files that do not name their model. */
  readonly model?: ModelChoice | undefined;
  readonly data: DataFiles;
  readonly batchSize: number;
  readonly head?: HeadChoice | undefined;
  /** The preprocessing: resizing and crop, and mean and std for weights that do not name theirs. */
  readonly protocol?: Protocol | undefined;
  readonly resizePosEmbed?: boolean | undefined;
  /** Threads that read and decode images. */
  readonly workers?: number | undefined;
  /** How activations and matrices are stored. */
  readonly dtype?: StoredType | undefined;
  /** Safetensors file to write: `logits` [N,K] and `labels` [N]; of a distilled model also `logits_cls` and `logits_dist`. */
  readonly logits?: string | undefined;
}

export interface EvalResult extends Evaluation {
  /** Recording the model and compiling its pipelines, which `imagesPerSecond` leaves out. */
  readonly warmUpMs: number;
}

export default async function evalJob(host: Host, args: EvalArgs): Promise<EvalResult> {
  const { dtype = "f32" } = args;
  checkDtype(dtype);
  const { model, weights } = await loadModel(host, args.weights, args.model);
  checkClassifier(model);
  // The file's own classes, if it names any, give the order of its logits.
  const files = weights.info?.classes ? numberedAs(args.data, weights.info.classes, host) : args.data;
  const images = await openSource(files, (from) => host.images.read(from), model.numClasses).catch((error: unknown) => {
    throw asUsage(error);
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
  let answers: readonly Float32Array[] = [];
  const scored = await evaluator
    .evaluate(images, {
      platform: host.images,
      workers: args.workers,
      placing,
      head: args.head,
      onLogits: (logits) => (answers = logits),
      onProgress: (done) => host.progress({ label: "eval", done, total: images.count }),
      onCorrupt: ({ name, reason }) => host.log({ message: `eval: ${shown(name)} left out: ${shown(reason)}` }),
    })
    .catch((error: Error) => {
      // Sums of 65504 and more overflow where activations are stored as f16.
      const hint = dtype === "f16" && /expected finite logits/.test(error.message) ? "; f16 overflows at 65504, try --dtype f32" : "";
      throw Object.assign(error, { message: error.message + hint });
    });
  if (args.logits !== undefined) await host.writeFile(args.logits, answersFile(answers, images, model.numClasses));
  return { ...scored, warmUpMs };
}

/** Rows in the order of the images; of those left out NaN. */
function answersFile(answers: readonly Float32Array[], images: ImageSource, K: number): Uint8Array {
  const labels = Int32Array.from({ length: images.count }, (_, i) => images.label(i));
  return writeSafetensors([
    ...answers.map((data, i): [string, SafeTensor] => [
      ["logits", "logits_cls", "logits_dist"][i]!,
      { dtype: "F32", shape: [images.count, K], data },
    ]),
    ["labels", { dtype: "I32", shape: [images.count], data: labels }],
  ]);
}

/** The data with classes renumbered to the weights' order, if the weights name all of them. */
function numberedAs(data: DataFiles, classes: readonly string[], host: Host): DataFiles {
  if (data.kind === "cifar10") return { ...data, classes: data.classes ?? classes };
  if (data.kind !== "folder") return data;
  const own = new Map(data.classes.map((c) => [c.name.normalize(), c]));
  const known = new Set(classes.map((name) => name.normalize()));
  const unknown = data.classes.find((c) => !known.has(c.name.normalize()));
  if (!unknown) return { ...data, classes: classes.map((name) => own.get(name.normalize()) ?? { name, files: [] }) };
  host.log({ message: `eval: the weights name no class "${shown(unknown.name)}"; classes are taken in the order of their folders` });
  return data;
}

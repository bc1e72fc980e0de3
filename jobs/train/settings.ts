/** What a run trains, on what and how: the arguments read and held against each other, before any work is done. */
import { getDevice } from "../../engine/device.ts";
import { show } from "../../engine/shape.ts";
import { toF32 } from "../../models/checkpoints/dtypes.ts";
import { parseSafetensors } from "../../models/checkpoints/safetensors.ts";
import type { TeacherAnswers } from "../../train/options.ts";
import { IMAGENET, preprocessing } from "../../models/images/protocols.ts";
import { createModel, type Model } from "../../models/model.ts";
import type { Weights } from "../../models/checkpoints/weights.ts";
import { answersOf } from "../../train/answers.ts";
import { checkMemory } from "../../train/check-memory.ts";
import { openSource, type DataFiles } from "../../train/data/open.ts";
import type { MemoryEstimate } from "../../train/estimate.ts";
import { makeRecipe } from "../../train/recipe.ts";
import { checkRun, type TrainOptions } from "../../train/train.ts";
import { asUsage, refusing, UsageError } from "../errors.ts";
import { checkDtype } from "../files/dtype.ts";
import { dataStatistics, loadTeacher, ownStatistics, type Statistics } from "../files/load-model.ts";
import { readWeightsFile } from "../files/weights-file.ts";
import type { Host } from "../host.ts";

export interface TrainArgs {
  /** A timm name or a config; without `numClasses` it has the data's number of classes. */
  readonly model: string | Readonly<Record<string, unknown>>;
  readonly recipe: Readonly<Record<string, unknown>>;
  readonly seed: number;
  readonly train: DataFiles;
  readonly test: DataFiles;
  /** A weights file, with its config inside or given. */
  readonly teacher?: { readonly weights: string; readonly model?: string | Readonly<Record<string, unknown>> | undefined } | undefined;
  /** In place of a teacher: a safetensors file with `logits` [count,K], a row for each training image in order. */
  readonly teacherLogits?: string | undefined;
  /** In place of a teacher: an ONNX model, which answers for every training image once. */
  readonly teacherOnnx?: string | undefined;
  /** Folder for checkpoint.safetensors, model.safetensors, metrics.jsonl and TensorBoard's events. */
  readonly out: string;
  /** Resumes from the checkpoint in `out`; `allowChanged` permits other data, teacher or place of augmentation. */
  readonly resume?: boolean | undefined;
  readonly allowChanged?: boolean | undefined;
  /** Starts a new run although `out` holds one. */
  readonly overwrite?: boolean | undefined;
  /** Initial weights; on request with new classifiers, or with an interpolated position embedding. */
  readonly initial?: string | undefined;
  readonly replaceHead?: boolean | undefined;
  readonly resizePosEmbed?: boolean | undefined;
  readonly workers?: number | undefined;
  readonly maxCorrupt?: number | undefined;
  /** Where images are augmented; "gpu" unless given. */
  readonly augment?: "gpu" | "cpu" | undefined;
  /** Ends at the first update that is not finite, and names the source of its first NaN. */
  readonly debugNan?: boolean | undefined;
  /** Number of updates between tables of the ranges of activations and gradients. */
  readonly stats?: number | undefined;
  /** Bytes of GPU memory that the run may take. */
  readonly memoryLimit?: number | undefined;
  readonly maxSteps?: number | undefined;
  readonly saveEvery?: number | undefined;
  readonly saveSeconds?: number | undefined;
  readonly evalEvery?: number | undefined;
  /** Label of the progress bar. */
  readonly label?: string | undefined;
}

type Settings = Pick<
  TrainOptions,
  "model" | "recipe" | "train" | "test" | "normalization" | "teacher" | "answers" | "augment" | "debugNan" | "statsEvery" | "memoryLimit"
> & {
  /** The weights to begin with, as their file has them. */
  readonly initial: Weights | null;
  readonly memory: MemoryEstimate;
};

/** Reads the data's list, the weights and the teacher; refuses what cannot become a run. */
export async function readSettings(host: Host, args: TrainArgs): Promise<Settings> {
  const recipe = refusing(() => makeRecipe(args.recipe));
  if (recipe.trainOnly === "lora" && args.initial === undefined)
    throw new UsageError('expected --weights for trainOnly "lora", which leaves them frozen, got none');
  for (const dtype of [recipe.dtype, recipe.teacherDtype, recipe.frozenDtype]) checkDtype(dtype);
  const given = typeof args.model === "object" ? args.model["numClasses"] : undefined;
  const train = await open(host, args.train, typeof given === "number" ? given : undefined);
  const test = await open(host, args.test, train.classes);
  const model = refusing(() =>
    createModel(args.model, typeof args.model === "string" || !("numClasses" in args.model) ? train.classes.length : undefined),
  );
  const initial = args.initial === undefined ? null : await readWeightsFile(host, args.initial);
  const normalization = normalizationFor(args.train, model, initial);
  const features = recipe.distillation === "features";
  const teacher = args.teacher ? await loadTeacher(host, args.teacher, model, normalization, features) : undefined;
  const answers = await outsideAnswers(host, args, { model, train, normalization });
  const { augment, debugNan, stats: statsEvery, memoryLimit = memoryOf(host) } = args;
  const settings = {
    ...{ model, recipe, train, test, normalization, teacher, answers },
    ...{ augment, debugNan, statsEvery, memoryLimit },
  };
  refusing(() => checkRun(settings));
  return { ...settings, initial, memory: refusing(() => checkMemory(settings)) };
}

/** A teacher's answers from elsewhere, where the arguments name some. */
async function outsideAnswers(
  host: Host,
  { teacherLogits, teacherOnnx, workers }: TrainArgs,
  { model, train, normalization }: Pick<Settings, "model" | "train" | "normalization">,
): Promise<TeacherAnswers | undefined> {
  if (teacherLogits !== undefined && teacherOnnx !== undefined)
    throw new UsageError("expected either --teacher-logits or --teacher-onnx, got both");
  if (teacherLogits !== undefined) return readAnswers(host, teacherLogits);
  if (teacherOnnx === undefined) return undefined;
  if (!host.openOnnx) throw new UsageError("expected --where node for --teacher-onnx, got chromium");
  const teacher = await host.openOnnx(teacherOnnx);
  const onProgress = (done: number) => host.progress({ label: "teacher's answers", done, total: train.count });
  const answers = await answersOf(teacher, train, { side: model.imageShape[1], platform: host.images, normalization, workers, onProgress });
  return { name: teacherOnnx, ...answers };
}

async function readAnswers(host: Host, path: string): Promise<TeacherAnswers> {
  const bytes = await host.readFile(path);
  const { tensors } = refusing(() => parseSafetensors(bytes), path);
  const found = tensors.get("logits");
  if (found?.shape.length !== 2)
    throw new UsageError(
      `expected logits [count,K] in ${path}, got ${found ? show(found.shape) : [...tensors.keys()].slice(0, 4).join(", ")}`,
    );
  return { name: path, numClasses: found.shape[1]!, logits: refusing(() => toF32(found), path) };
}

/** An adapter in software takes the machine's own memory; of others WebGPU says nothing. */
const memoryOf = ({ memoryBytes }: Host): number | undefined => (getDevice().adapter.software ? memoryBytes : undefined);

const open = (host: Host, files: DataFiles, classes: number | readonly string[] | undefined) =>
  openSource(files, (from) => host.images.read(from), classes).catch((error: unknown) => {
    throw asUsage(error);
  });

/** What the weights were trained with; of weights that do not say, what timm has for the model. From scratch the data's own. */
function normalizationFor(data: DataFiles, { name, imageShape }: Model, initial: Weights | null): Statistics {
  if (!initial) return dataStatistics(data) ?? IMAGENET;
  const { mean, std } = preprocessing("timm", name, imageShape[1]);
  return ownStatistics(initial) ?? { mean, std };
}

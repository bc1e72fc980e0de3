/** Loads a model with its weights from any file: for evaluation, classification, and as a teacher. */
import { checkState } from "../../models/check-state.ts";
import { classesIn } from "../../models/heads.ts";
import { createModel, type Model } from "../../models/model.ts";
import type { State } from "../../models/params.ts";
import { resizedPosEmbed } from "../../models/pos-embed.ts";
import type { Weights } from "../../models/checkpoints/weights.ts";
import { CIFAR10_MEAN, CIFAR10_STD } from "../../train/data/dataset.ts";
import { CIFAR100_MEAN, CIFAR100_STD } from "../../train/data/cifar100.ts";
import type { DataFiles } from "../../train/data/open.ts";
import { refusing, UsageError } from "../errors.ts";
import type { Host } from "../host.ts";
import { readWeightsFile } from "./weights-file.ts";

/** A timm name or a config. */
export type ModelChoice = string | Readonly<Record<string, unknown>>;

/** `given` is for files that do not name their model. A name alone leaves the number of classes to the file's classifier. */
export async function loadModel(host: Host, path: string, given?: ModelChoice): Promise<{ model: Model; weights: Weights }> {
  const weights = await readWeightsFile(host, path);
  const what = given ?? (weights.info?.config as unknown as Record<string, unknown> | undefined);
  if (!what) throw new UsageError(`expected a model for ${path} (the file does not name its own), got none`);
  return { model: refusing(() => createModel(what, typeof what === "string" ? classesIn(weights.state) : undefined)), weights };
}

/** Throws for a model without a classifier, where classes are asked for. */
export function checkClassifier({ name, numClasses }: Model): void {
  if (numClasses === 0) throw new UsageError(`expected a model with a classifier, got ${name} without one`);
}

/** Per channel, of values in [0, 1]. */
export interface Statistics {
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/** The mean and std that weights were trained with, from their metadata. */
export const ownStatistics = ({ info }: Weights): Statistics | null => (info?.mean && info.std ? { mean: info.mean, std: info.std } : null);

/** CIFAR's own; other sets use ImageNet's. */
export const dataStatistics = ({ kind }: DataFiles): Statistics | null =>
  kind === "cifar10" ? { mean: CIFAR10_MEAN, std: CIFAR10_STD } : kind === "cifar100" ? { mean: CIFAR100_MEAN, std: CIFAR100_STD } : null;

/**
 * A teacher for `student`. It gets the student's images: same size, same normalisation.
 * A convolutional teacher takes any size; a transformer has a position for every patch, which is interpolated where its `features` are to be
 * learned. Those need no classes. Weights that do not fit are refused here, before any work.
 */
export async function loadTeacher(
  host: Host,
  { weights: path, model: given }: { readonly weights: string; readonly model?: ModelChoice | undefined },
  student: Model,
  normalization: Statistics,
  features: boolean,
) {
  const loaded = await loadModel(host, path, given);
  const { model, weights } = features ? atSide(loaded, student.imageShape[1], path) : loaded;
  const refuse = (expected: string, got: string): never => {
    throw new UsageError(`expected a teacher ${expected}, got ${model.name} of ${path} ${got}`);
  };
  const [own, seen] = [model, student].map(({ imageShape }) => `[${imageShape}]`);
  if (model.config.arch === "deit" ? own !== seen : model.imageShape[0] !== student.imageShape[0])
    refuse(`for the student's images ${seen}`, `for ${own}`);
  if (!features && model.numClasses !== student.numClasses)
    refuse(`of the student's ${student.numClasses} classes`, `of ${model.numClasses}`);
  const { mean, std } = weights.info ?? {};
  for (const [name, values, students] of [
    ["mean", mean, normalization.mean],
    ["std", std, normalization.std],
  ] as const) {
    if (values?.some((v, i) => Math.abs(v - students[i]!) > 1e-3))
      refuse(`for images normalised by ${name} ${students}, the student's`, `by ${values}`);
  }
  refusing(() => checkState(model.name, model.params, weights.state), path);
  return { model, state: weights.state };
}

/** A transformer for images of `side`, with its position embedding interpolated where its own is for others. */
function atSide(loaded: { readonly model: Model; readonly weights: Weights }, side: number, path: string): typeof loaded {
  const { model, weights } = loaded;
  if (model.config.arch !== "deit" || model.config.imgSize === side) return loaded;
  const resized = { ...refusing(() => createModel({ ...model.config, imgSize: side }), path), name: model.name };
  return { model: resized, weights: { ...weights, state: refusing(() => resizedPosEmbed(weights.state, resized), path) } };
}

/** Weights for `model`, on request with its position embedding interpolated. */
export const fittedState = (model: Model, { state }: Weights, resizePosEmbed: boolean | undefined, path: string): State =>
  resizePosEmbed ? refusing(() => resizedPosEmbed(state, model), path) : state;

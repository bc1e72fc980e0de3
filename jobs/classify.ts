/** `classify`: top-k classes of image files, and on request attention maps. */
import { noGrad } from "../engine/autograd.ts";
import { isPlain } from "../engine/errors.ts";
import { record } from "../engine/plan.ts";
import { readAll, Tensor } from "../engine/tensor.ts";
import { normalizeImages } from "../kernels/augment/normalize.ts";
import { attentionProbabilities, headMaps, rollout } from "../models/attention-maps.ts";
import { combineHeads, type HeadChoice } from "../models/heads.ts";
import type { Model } from "../models/model.ts";
import { overlay } from "../models/images/overlay.ts";
import { loadParams, type Params } from "../models/params.ts";
import type { RgbImage } from "../models/images/preprocess.ts";
import { inputBytes, preprocess, preprocessing, type Protocol } from "../models/images/protocols.ts";
import { storedModel, storedParams } from "../models/mixed-precision.ts";
import { checkDtype, type StoredType } from "./files/dtype.ts";
import { refusing, UsageError } from "./errors.ts";
import { classLabels, topOf } from "../tasks/labels.ts";
import type { Host } from "./host.ts";
import { readImage, writePng } from "./files/image-files.ts";
import { checkClassifier, fittedState, loadModel, type ModelChoice } from "./files/load-model.ts";

export interface ClassifyArgs {
  readonly weights: string;
  readonly model?: ModelChoice | undefined;
  /** Image files, each with the name that its map files begin with. */
  readonly images: readonly { readonly path: string; readonly stem: string }[];
  readonly k: number;
  readonly protocol: Protocol;
  readonly head: HeadChoice;
  readonly batchSize: number;
  /** Folder for attention maps. */
  readonly maps?: string | undefined;
  readonly resizePosEmbed?: boolean | undefined;
  /** How activations and matrices are stored. */
  readonly dtype?: StoredType | undefined;
}

export interface Classified {
  readonly name: string;
  /** Why there is no answer: the file cannot be read or decoded, or the model's answer is not finite. `top` is empty then. */
  readonly error?: string;
  readonly top: readonly { readonly label: string; readonly index: number; readonly probability: number }[];
  /** Files written. */
  readonly maps?: readonly string[];
}

export interface ClassifyResult {
  readonly model: string;
  readonly protocol: Protocol;
  readonly head: HeadChoice;
  /** One for each image, in their order. */
  readonly results: readonly Classified[];
  /** Recording the model and compiling its pipelines. */
  readonly warmUpMs: number;
  /** Includes decoding; excludes loading and warm-up. */
  readonly imagesPerSecond: number;
}

const F16_HINT = "; f16 overflows at 65504, try --dtype f32";

export default async function classifyJob(host: Host, args: ClassifyArgs): Promise<ClassifyResult> {
  const { dtype = "f32" } = args;
  checkDtype(dtype);
  const { model: loaded, weights } = await loadModel(host, args.weights, args.model);
  checkClassifier(loaded);
  const model = storedModel(loaded, dtype);
  if (args.maps !== undefined && model.config.arch !== "deit")
    throw new UsageError(`expected a vision transformer for --maps, got ${model.name}`);
  if (model.numClasses === 0)
    throw new UsageError(`expected a model with a classifier, got ${model.name} without one: features is its verb`);
  if (!model.distilled && (args.head === "dist" || args.head === "softmax-sum"))
    throw new UsageError(`expected a distilled model for --head ${args.head}, got ${model.name}`);
  if (model.imageShape[0] !== 3) throw new UsageError(`expected a model of 3 channels, got ${model.imageShape[0]}`);
  const params = storedParams(
    refusing(() => loadParams(model.name, model.params, fittedState(model, weights, args.resizePosEmbed, args.weights)), args.weights),
    dtype,
  );
  const labels = await classLabels(model.numClasses, weights.info?.classes);

  const size = model.imageShape[1];
  const steps = preprocessing(args.protocol, model.name, size);
  const normalization = { mean: weights.info?.mean ?? steps.mean, std: weights.info?.std ?? steps.std };
  const B = Math.min(args.batchSize, args.images.length);
  const pixels = Tensor.zeros([B, 3, size, size], "u8");
  const recordMs = performance.now();
  const plan = await record(
    () =>
      noGrad(() => {
        const { logitsCls, logitsDist } = model.forward(params, normalizeImages(pixels, normalization));
        return logitsDist ? [logitsCls, logitsDist] : [logitsCls];
      }),
    { label: "classify", onCompile: (done, total) => host.progress({ label: "compiling kernels", done, total }) },
  );

  const startMs = performance.now();
  const results: Classified[] = [];
  for (let at = 0; at < args.images.length; at += B) {
    const batch = args.images.slice(at, at + B);
    const seen: { readonly path: string; readonly stem: string; readonly image: RgbImage }[] = [];
    const failed = new Map<string, string>();
    for (const { path, stem } of batch) {
      try {
        seen.push({ path, stem, image: preprocess(await readImage(host, path), steps) });
      } catch (error) {
        if (!isPlain(error)) throw error; // a lost device, no memory left
        failed.set(path, error.message);
      }
    }
    const answers = new Map<string, Classified>();
    if (seen.length > 0) {
      // The last batch is filled up with its first image.
      const whole = Array.from({ length: B }, (_, i) => (seen[i] ?? seen[0]!).image);
      pixels.write(inputBytes(whole));
      plan.run();
      const [cls, dist = null] = (await readAll(plan.result)) as Float32Array[];
      const logits = combineHeads(args.head, cls!, dist, model.numClasses);
      for (const [i, { path, stem, image }] of seen.entries()) {
        const own = logits.subarray(i * model.numClasses, (i + 1) * model.numClasses);
        if (!own.every(Number.isFinite)) {
          failed.set(path, `expected finite logits, got ${own.find((v) => !Number.isFinite(v))}${dtype === "f16" ? F16_HINT : ""}`);
          continue;
        }
        const maps =
          args.maps === undefined ? undefined : await writeMaps(host, `${args.maps}/${stem}`, model, params, image, normalization);
        answers.set(path, { name: path, top: topOf(own, labels, args.k), ...(maps ? { maps } : {}) });
      }
    }
    for (const { path } of batch) results.push(answers.get(path) ?? { name: path, error: failed.get(path)!, top: [] });
    host.progress({ label: "classify", done: results.length, total: args.images.length });
  }
  plan.dispose();
  for (const t of [pixels, ...Object.values(params)]) t.dispose();
  return {
    model: model.name,
    protocol: args.protocol,
    head: args.head,
    results,
    warmUpMs: startMs - recordMs,
    imagesPerSecond: (1000 * results.length) / (performance.now() - startMs),
  };
}

/** The rollout, and the last block's heads, of each token that answers, on the image. */
async function writeMaps(
  host: Host,
  base: string,
  model: Model,
  params: Params,
  image: RgbImage,
  normalization: { readonly mean: readonly number[]; readonly std: readonly number[] },
): Promise<string[]> {
  const bytes = Tensor.from(inputBytes([image]), [1, 3, image.height, image.width], "u8");
  const x = noGrad(() => normalizeImages(bytes, normalization));
  const attention = await attentionProbabilities(model, params, x);
  for (const t of [bytes, x]) t.dispose();
  const written: string[] = [];
  for (const [token, name] of (model.distilled ? ["cls", "dist"] : ["cls"]).entries()) {
    const heads = headMaps(attention, 0, attention.blocks.length - 1, token);
    for (const [what, map] of [["rollout", rollout(attention, 0, token)], ...heads.map((h, i) => [`head${i}`, h])] as [
      string,
      Float32Array,
    ][]) {
      const path = `${base}.${name}-${what}.png`;
      await writePng(host, path, overlay(image, map, attention.side));
      written.push(path);
    }
  }
  return written;
}

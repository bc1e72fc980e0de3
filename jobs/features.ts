/** `features`: what a model makes of pictures before its classifier, as a file; and on request its patches' principal components as pictures. */
import { noGrad } from "../engine/autograd.ts";
import { isPlain } from "../engine/errors.ts";
import { record } from "../engine/plan.ts";
import { readAll, Tensor } from "../engine/tensor.ts";
import { normalizeImages } from "../kernels/augment/normalize.ts";
import { writeSafetensors, type SafeTensor } from "../models/checkpoints/safetensors.ts";
import { inputBytes, preprocess, preprocessing, type Protocol } from "../models/images/protocols.ts";
import type { RgbImage } from "../models/images/preprocess.ts";
import { createModel, type Model } from "../models/model.ts";
import { loadParams } from "../models/params.ts";
import { resizedPosEmbed } from "../models/pos-embed.ts";
import { shown } from "../models/shown.ts";
import { featurePass, patchRows } from "../tasks/features.ts";
import { componentPictures } from "../tasks/principal.ts";
import { openSource, type DataFiles } from "../train/data/open.ts";
import { interleaved, readImage as readSource } from "../train/input/source.ts";
import { asUsage, refusing, UsageError } from "./errors.ts";
import { readImage, writePng } from "./files/image-files.ts";
import { loadModel, type ModelChoice } from "./files/load-model.ts";
import { checkNames, floatsOf, readTensors } from "./files/tensor-file.ts";
import type { Host } from "./host.ts";

export interface FeaturesArgs {
  readonly weights: string;
  readonly model?: ModelChoice | undefined;
  /** Side of the pictures that the model sees, where it is not its own. */
  readonly imgSize?: number | undefined;
  /** One of three: image files, and what each is called in names of pictures; a split; a file with `x` [B,3,H,W], normalised. */
  readonly images?: readonly { readonly path: string; readonly stem: string }[] | undefined;
  readonly data?: DataFiles | undefined;
  readonly in?: string | undefined;
  readonly out: string;
  readonly pool?: "cls" | "mean" | "none" | undefined;
  readonly block?: number | undefined;
  readonly protocol: Protocol;
  readonly batchSize: number;
  /** Folder for pictures of the patches' first three principal components. */
  readonly pca?: string | undefined;
}

export interface FeaturesResult {
  readonly model: string;
  /** Of `features`. */
  readonly shape: readonly number[];
  /** Images without features, with the reason. */
  readonly failed: readonly { readonly name: string; readonly reason: string }[];
  readonly pictures: readonly string[];
  readonly imagesPerSecond: number;
}

/** An image to come: its values as the model sees them. */
interface Item {
  readonly name: string;
  readonly stem: string;
  readonly label?: number;
  read(): Promise<RgbImage>;
}

export default async function featuresJob(host: Host, args: FeaturesArgs): Promise<FeaturesResult> {
  const loaded = await loadModel(host, args.weights, args.model);
  const own = loaded.model;
  const { imgSize = own.imageShape[1] } = args;
  const model = { ...refusing(() => createModel({ ...own.config, imgSize })), name: own.name };
  const state =
    model.config.arch === "deit" ? refusing(() => resizedPosEmbed(loaded.weights.state, model), args.weights) : loaded.weights.state;
  const options = { ...(args.pool ? { pool: args.pool } : {}), ...(args.block === undefined ? {} : { block: args.block }) };
  const { pass, vector } = refusing(() => featurePass(model, options));
  if (args.pca !== undefined && (args.pool !== "none" || model.config.arch !== "deit"))
    throw new UsageError(`expected --pool none of a vision transformer for --pca, got ${args.pool ?? "none said"} of ${model.name}`);
  const params = refusing(() => loadParams(model.name, model.params, state), args.weights);
  const steps = preprocessing(args.protocol, model.name, imgSize);
  const { mean = steps.mean, std = steps.std } = loaded.weights.info ?? {};
  const given = args.in === undefined ? null : await tensorsOf(host, args.in, model);
  const items = given ? [] : await itemsOf(host, args);
  const total = given ? given.count : items.length;
  const B = Math.min(args.batchSize, total);

  const bytes = Tensor.zeros([B, ...model.imageShape], "u8");
  const floats = Tensor.zeros([B, ...model.imageShape]);
  const plan = await record(() => noGrad(() => pass(model, params, given ? floats : normalizeImages(bytes, { mean, std }))), {
    label: "features",
    onCompile: (done, count) => host.progress({ label: "compiling kernels", done, total: count }),
  });
  const startMs = performance.now();
  const rows: Float32Array[] = [];
  const kept: Item[] = [];
  const failed: { name: string; reason: string }[] = [];
  for (let at = 0; at < total; at += B) {
    const seen: { item: Item | null; image: RgbImage | null }[] = [];
    if (given) {
      const batch = new Float32Array(floats.size);
      const values = given.data.subarray(at * given.each, Math.min(total, at + B) * given.each);
      batch.set(values);
      floats.write(batch);
      for (let i = 0; i < values.length / given.each; i++) seen.push({ item: null, image: null });
    } else {
      for (const item of items.slice(at, at + B)) {
        try {
          seen.push({ item, image: preprocess(await item.read(), steps) });
        } catch (error) {
          if (!isPlain(error)) throw error; // a lost device, no memory left
          failed.push({ name: item.name, reason: error.message });
        }
      }
      if (seen.length === 0) continue;
      // The rest of an incomplete batch repeats its first image.
      bytes.write(inputBytes(Array.from({ length: B }, (_, i) => (seen[i] ?? seen[0]!).image!)));
    }
    plan.run();
    const [values] = (await readAll(plan.result)) as [Float32Array];
    const each = values.length / B;
    seen.forEach(({ item }, i) => {
      const made = vector(values.slice(i * each, (i + 1) * each));
      rows.push(args.pool === "none" && model.config.arch === "deit" ? patchRows(model, made).rows : made);
      if (item) kept.push(item);
    });
    host.progress({ label: "features", done: Math.min(at + B, total), total });
  }
  const imagesPerSecond = (1000 * total) / (performance.now() - startMs);
  plan.dispose();
  for (const t of [bytes, floats, ...Object.values(params)]) t.dispose();
  if (rows.length === 0) throw new UsageError(`expected an image that can be read, got none of ${total}: ${shown(failed[0]!.reason)}`);
  for (const { name, reason } of failed) host.log({ message: `features: ${shown(name)} left out: ${shown(reason)}` });

  const all = joined(rows);
  const shape = args.pool === "none" ? [rows.length, ...patchShape(model, rows[0]!.length)] : [rows.length, rows[0]!.length];
  await host.writeFile(args.out, fileOf(all, shape, kept, args));
  const pictures: string[] = [];
  if (args.pca !== undefined) {
    const D = shape.at(-1)!;
    const side = Math.sqrt(shape[1]!);
    for (const [i, picture] of componentPictures(all, D, side, Math.max(1, Math.round(imgSize / side))).entries()) {
      pictures.push(`${args.pca}/${kept[i]?.stem ?? i}.pca.png`);
      await writePng(host, pictures.at(-1)!, picture);
    }
  }
  return { model: model.name, shape, failed, pictures, imagesPerSecond };
}

/** [P, D] of a transformer's patches, [C, H, W] of a convolutional network. */
function patchShape(model: Model, size: number): number[] {
  if (model.config.arch === "deit") return [size / model.config.dim, model.config.dim];
  const side = Math.sqrt(size / model.featureWidth);
  return Number.isInteger(side) ? [model.featureWidth, side, side] : [size];
}

/** `features`, and `labels` where they are known; names and classes are metadata in JSON. */
function fileOf(
  data: Float32Array,
  shape: readonly number[],
  kept: readonly Item[],
  { pool, block, data: from }: FeaturesArgs,
): Uint8Array {
  const tensors = new Map<string, SafeTensor>([["features", { dtype: "F32", shape, data }]]);
  const labels = kept.flatMap(({ label }) => (label === undefined ? [] : [label]));
  if (from && labels.length === shape[0])
    tensors.set("labels", { dtype: "I64", shape: [labels.length], data: BigInt64Array.from(labels, BigInt) } as SafeTensor);
  return writeSafetensors(tensors, {
    names: JSON.stringify(kept.map(({ name }) => name)),
    pool: pool ?? "default",
    block: block === undefined ? "last" : `${block}`,
  });
}

async function itemsOf(host: Host, { images, data }: FeaturesArgs): Promise<Item[]> {
  if (images) return images.map(({ path, stem }) => ({ name: path, stem, read: () => readImage(host, path) }));
  const source = await openSource(data!, (from) => host.images.read(from)).catch((error: unknown) => {
    throw asUsage(error);
  });
  return Array.from({ length: source.count }, (_, i) => ({
    name: source.name(i),
    stem: `${i}`,
    label: source.label(i),
    read: async () => interleaved(await readSource(source.at(i), host.images)),
  }));
}

/** `x` of a file, as `forward` takes it. */
async function tensorsOf(host: Host, path: string, { name, imageShape }: Model) {
  const file = await readTensors(host, path);
  checkNames(file, ["x"], ["labels", "target", "teacher_logits", "dy"], path);
  const { shape, data } = floatsOf(file, "x");
  if (shape.length !== 4 || String(shape.slice(1)) !== String(imageShape))
    throw new UsageError(`expected x [B,${imageShape}] for ${name}, got [${shape}]`);
  return { count: shape[0]!, each: data.length / shape[0]!, data };
}

function joined(rows: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(rows.reduce((n, row) => n + row.length, 0));
  rows.reduce((at, row) => (all.set(row, at), at + row.length), 0);
  return all;
}

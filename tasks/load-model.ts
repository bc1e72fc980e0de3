/** Loads a model from any file that holds one, ready to classify. */
import { checkState, StateError } from "../models/check-state.ts";
import { openWeights } from "../models/checkpoints/formats.ts";
import { namingOf } from "../models/checkpoints/names.ts";
import { loadUrl, pageCache } from "../models/checkpoints/url.ts";
import { weightsOf, type Weights } from "../models/checkpoints/weights.ts";
import { cousins } from "../models/fitting-names.ts";
import { classesIn } from "../models/heads.ts";
import { createModel, type Model } from "../models/model.ts";
import { resizedPosEmbed } from "../models/pos-embed.ts";
import type { LoadOptions, VisionModel } from "./api.ts";
import { reasonOf, WeightsError } from "./errors.ts";
import { stepsOf } from "./file-info.ts";
import { classLabels, imagenetLabels } from "./labels.ts";
import { Vision } from "./vision-model.ts";
import { openDevice, setRaces } from "./device.ts";

const HEADS = { mean: "mean", class: "cls", distillation: "dist" } as const;

/**
 * The model in a file: safetensors or `.pth`, with timm's or Hugging Face's names, of a vision transformer or RegNetY; or what
 * `save()` wrote. Opens a device where there is none. Throws WeightsError if the file, the model and the options do not fit each other.
 *
 * @example
 * ```ts
 * const deit = await loadModel("/deit.safetensors", { model: "deit_tiny_distilled_patch16_224", inputSize: 160 });
 * ```
 */
export async function loadModel(from: string | URL | Blob | Uint8Array, o: LoadOptions = {}): Promise<VisionModel> {
  const { signal, onProgress, head = "mean", dtype = "f32" } = o;
  signal?.throwIfAborted();
  setRaces(o.races);
  const device = await openDevice(); // first: a browser that has none need not download anything
  const bytes = await bytesOf(from, o);
  signal?.throwIfAborted();
  const { weights, hf } = await read(bytes, nameOf(from));
  const { model, state } = fitted(weights, o);
  const labels = await labelsOf(model, weights, o);
  const steps = stepsOf(model, weights.info, o.protocol ?? (hf ? "hf" : "timm"));
  if (head === "distillation" && !model.distilled)
    throw new WeightsError(`loadModel: expected a distilled model for head "distillation", got ${model.name}`);
  if (dtype === "f16" && !device.features.has("shader-f16"))
    throw new WeightsError('loadModel: expected an adapter with shader-f16 for dtype "f16", got one without: leave dtype out');
  signal?.throwIfAborted();
  // Values are converted once here, not by each access.
  const held = new Map([...state].map(([name, { shape, data }]) => [name, { shape, data }]));
  const vision = new Vision({ model, state: held, labels, steps, head: HEADS[model.distilled ? head : "class"], dtype });
  try {
    onProgress?.({ phase: "upload", done: 0, total: 1 });
    await vision.prepare((done, total) => {
      signal?.throwIfAborted();
      onProgress?.({ phase: "compile", done, total });
    });
    signal?.throwIfAborted();
  } catch (error) {
    vision.dispose();
    throw error;
  }
  return vision;
}

const nameOf = (from: string | URL | Blob | Uint8Array): string =>
  typeof from === "string" || from instanceof URL ? `${from}` : from instanceof Blob && "name" in from ? `${from.name}` : "the given bytes";

async function bytesOf(from: string | URL | Blob | Uint8Array, { cache, signal, timeoutMs, onProgress }: LoadOptions): Promise<Uint8Array> {
  if (from instanceof Uint8Array) return from;
  if (from instanceof Blob) return new Uint8Array(await from.arrayBuffer());
  const base = (globalThis as { document?: { baseURI: string } }).document?.baseURI ?? globalThis.location?.href;
  const url = from instanceof URL ? from.href : base ? new URL(from, base).href : from;
  try {
    const { bytes } = await loadUrl(url, {
      cache: cache === undefined ? await pageCache() : cache,
      signal,
      timeoutMs,
      onProgress: (done, total) => onProgress?.({ phase: "download", done, total }),
    });
    return bytes;
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    throw new WeightsError(`loadModel: ${reasonOf(error)}`);
  }
}

async function read(bytes: Uint8Array, name: string): Promise<{ weights: Weights; hf: boolean }> {
  try {
    const any = await openWeights(bytes);
    return { weights: weightsOf(any), hf: namingOf(any.state) === "hf" };
  } catch (error) {
    throw new WeightsError(
      `loadModel: expected a safetensors or .pth file of weights, or what save() wrote, got ${name} (${reasonOf(error)})`,
    );
  }
}

/** The model that the file or the options name, at the requested input size, and its weights. */
function fitted(weights: Weights, { model: given, inputSize }: LoadOptions): { model: Model; state: Weights["state"] } {
  const what = given ?? weights.info?.config;
  if (!what)
    throw new WeightsError(
      "loadModel: expected a model (timm's name or a config) for a file that does not say its own, got none: loadModel(from, { model })",
    );
  try {
    const classes = classesIn(weights.state);
    const named = createModel(what as string | Readonly<Record<string, unknown>>, typeof what === "string" ? classes : undefined);
    if (named.imageShape[0] !== 3) throw new Error(`model: expected 3 channels, got ${named.imageShape[0]}`);
    if (inputSize !== undefined && (!Number.isInteger(inputSize) || inputSize < 2 || inputSize % 2 !== 0))
      throw new Error(`inputSize: expected an even number of pixels, got ${inputSize}`);
    const model = inputSize === undefined ? named : createModel({ ...named.config, imgSize: inputSize });
    const state =
      model.config.arch === "deit" && weights.state.has("pos_embed")
        ? resizedPosEmbed(weights.state, { ...model, name: named.name })
        : weights.state;
    checkState(model.name, model.params, state);
    return { model: { ...model, name: named.name }, state };
  } catch (error) {
    throw new WeightsError(`loadModel: ${reasonOf(error)}${error instanceof StateError ? cousins(error) : ""}`);
  }
}

async function labelsOf({ numClasses }: Model, { info }: Weights, { labels }: LoadOptions): Promise<readonly string[]> {
  const names = await (labels === "imagenet" ? imagenetLabels() : classLabels(numClasses, labels ?? info?.classes));
  if (names.length !== numClasses)
    throw new WeightsError(`loadModel: expected ${numClasses} labels, one for each class of the model, got ${names.length}`);
  return [...names];
}

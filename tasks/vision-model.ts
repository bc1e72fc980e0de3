/** The model of an app: classifies, gives features and attention, and fine-tunes. */
import { sizeOf } from "../kernels/images/image.ts";
import { attentionProbabilities, headMaps, rollout } from "../models/attention-maps.ts";
import { combineHeads } from "../models/heads.ts";
import { areaOf } from "../models/images/protocols.ts";
import type {
  AttentionMap,
  AttentionOptions,
  ClassifyOptions,
  Example,
  FeatureOptions,
  FineTuned,
  FineTuneOptions,
  ImageInput,
  ModelConfig,
  Prediction,
  SaveOptions,
  VisionModel,
} from "./api.ts";
import { featurePass } from "./features.ts";
import type { Parts } from "./parts.ts";
import { topOf } from "./labels.ts";
import { openPicture, type Picture } from "./pictures.ts";
import { Runtime, type Pass } from "./runtime.ts";

/** Number of pictures decoded and held at a time. */
const OPEN = 32;

const logitsPass: Pass = (model, params, x) => {
  const { logitsCls, logitsDist } = model.forward(params, x);
  return logitsDist ? [logitsCls, logitsDist] : [logitsCls];
};

export class Vision implements VisionModel {
  readonly parts: Parts;
  readonly #runtime: Runtime;

  constructor(parts: Parts) {
    this.parts = parts;
    this.#runtime = new Runtime(parts.model, parts.state, parts.steps, parts.dtype);
  }

  get labels(): readonly string[] {
    return this.parts.labels;
  }

  get config(): ModelConfig {
    return this.parts.model.config;
  }

  /** Uploads and compiles, so that the first answer does not wait for it. */
  prepare(onCompile?: (done: number, total: number) => void): Promise<void> {
    return this.#runtime.prepare("logits", logitsPass, onCompile);
  }

  classify(image: ImageInput, o?: ClassifyOptions): Promise<Prediction[]>;
  classify(images: readonly ImageInput[], o?: ClassifyOptions): Promise<Prediction[][]>;
  async classify(
    given: ImageInput | readonly ImageInput[],
    { topK = 5, signal }: ClassifyOptions = {},
  ): Promise<Prediction[] | Prediction[][]> {
    const { labels, model, head } = this.parts;
    if (labels.length === 0) throw new Error("classify: expected a model with a head, got one without: features() is what it gives");
    if (!Number.isInteger(topK) || topK < 1) throw new Error(`classify: expected topK of at least 1, got ${topK}`);
    const answers = await this.#each(given, "logits", logitsPass, signal);
    const found = answers.map(([cls, dist = null]) => topOf(combineHeads(head, cls!, dist, model.numClasses), labels, topK));
    return isList(given) ? found : found[0]!;
  }

  features(image: ImageInput, o?: FeatureOptions): Promise<Float32Array>;
  features(images: readonly ImageInput[], o?: FeatureOptions): Promise<Float32Array[]>;
  async features(given: ImageInput | readonly ImageInput[], o: FeatureOptions = {}): Promise<Float32Array | Float32Array[]> {
    const { name, pass, vector } = featurePass(this.parts.model, o);
    const found = (await this.#each(given, name, pass, o.signal)).map(([values]) => vector(values!));
    return isList(given) ? found : found[0]!;
  }

  async attention(image: ImageInput, { token = "class", block, head, signal }: AttentionOptions = {}): Promise<AttentionMap> {
    const { model } = this.parts;
    if (token === "distillation" && !model.distilled)
      throw new Error(`attention: expected a distilled model for the token "distillation", got ${model.name}`);
    const picture = await openPicture(image, signal);
    const one = block !== undefined && head !== undefined;
    const at = token === "class" ? 0 : 1;
    try {
      const area = areaOf(picture.kind === "bytes" ? picture.image : sizeOf(picture.image), this.parts.steps);
      const found = await this.#runtime.withInput(picture, (on, params, x) =>
        attentionProbabilities(on, params, x, one ? [block] : undefined),
      );
      signal?.throwIfAborted();
      const { side, heads } = found;
      if (!one) return { side, weights: rollout(found, 0, at), area };
      if (!Number.isInteger(head) || head < 0 || head >= heads)
        throw new Error(`attention: expected a head from 0 to ${heads - 1}, got ${head}`);
      return { side, weights: headMaps(found, 0, 0, at)[head]!, area };
    } finally {
      picture.close?.();
    }
  }

  async fineTune(examples: Iterable<Example> | AsyncIterable<Example>, o: FineTuneOptions = {}): Promise<FineTuned> {
    const { fineTune } = await import("./fine-tune.ts");
    const { parts, finished, epochs } = await fineTune(this.parts, examples, o);
    return { model: new Vision(parts), finished, epochs };
  }

  async save(o: SaveOptions = {}): Promise<Uint8Array> {
    const { saveModel } = await import("./save.ts");
    return saveModel(this.parts, o);
  }

  dispose(): void {
    this.#runtime.dispose();
  }

  /** The pass's values for each picture. */
  async #each(
    given: ImageInput | readonly ImageInput[],
    name: string,
    pass: Pass,
    signal: AbortSignal | undefined,
  ): Promise<Float32Array[][]> {
    const images = isList(given) ? given : [given];
    const found: Float32Array[][] = [];
    for (let at = 0; at < images.length; at += OPEN) {
      const pictures: Picture[] = await Promise.all(images.slice(at, at + OPEN).map((image) => openPicture(image, signal)));
      try {
        found.push(...(await this.#runtime.run(name, pass, pictures, signal)));
      } finally {
        for (const picture of pictures) picture.close?.();
      }
    }
    return found;
  }
}

const isList = (given: ImageInput | readonly ImageInput[]): given is readonly ImageInput[] => Array.isArray(given);

/** The model of an app: classifies, gives features and attention, and fine-tunes. */
import type { Tensor } from "../engine/tensor.ts";
import { globalAvgPool } from "../kernels/global-avg-pool.ts";
import { slice } from "../kernels/movement.ts";
import { attentionProbabilities, headMaps, rollout } from "../models/attention-maps.ts";
import { prefixTokens, tokens } from "../models/deit.ts";
import { combineHeads } from "../models/heads.ts";
import type { Model } from "../models/model.ts";
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
    const found = await this.#runtime.withInput(picture, (on, params, x) =>
      attentionProbabilities(on, params, x, one ? [block] : undefined),
    );
    signal?.throwIfAborted();
    const at = token === "class" ? 0 : 1;
    if (!one) return { side: found.side, weights: rollout(found, 0, at) };
    if (!Number.isInteger(head) || head < 0 || head >= found.heads)
      throw new Error(`attention: expected a head from 0 to ${found.heads - 1}, got ${head}`);
    return { side: found.side, weights: headMaps(found, 0, 0, at)[head]! };
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

/** The intermediate result that features are taken from, and how its values become one vector. */
function featurePass({ config, name: model }: Model, { pool, block }: FeatureOptions) {
  const transformer = config.arch === "deit";
  const stages = transformer ? config.depth : 4;
  if (block !== undefined && (!Number.isInteger(block) || block < 0 || block >= stages))
    throw new Error(`features: expected a block from 0 to ${stages - 1} of ${model}, got ${block}`);
  const how = pool ?? (transformer ? "cls" : "mean");
  if (!transformer && how === "cls") throw new Error(`features: expected pool "mean" or "none" of a convolutional network, got "cls"`);
  const wanted = transformer ? (block === undefined ? "norm" : `blocks.${block}`) : `s${block === undefined ? "" : block + 1}`;
  const pass: Pass = (m, params, x) => {
    const seen: { tap?: Tensor } = {};
    // Without `block`, the last of several stages.
    m.forward(params, x, { tap: (tapped, value) => (tapped === wanted || (wanted === "s" && /^s\d$/.test(tapped))) && (seen.tap = value) });
    const all = seen.tap!;
    if (how === "cls") return [slice(all, 1, 0, 1)];
    return [how === "mean" && !transformer ? globalAvgPool(all) : all];
  };
  const pooled = how === "mean" && transformer;
  const vector = (values: Float32Array) => (pooled ? meanOfRows(values, tokens(config), prefixTokens(config)) : values);
  return { name: `features ${wanted} ${how}`, pass, vector };
}

/** (N, D) to the mean [D] of the rows from `first` on. */
function meanOfRows(values: Float32Array, N: number, first: number): Float32Array {
  const D = values.length / N;
  const sum = new Float64Array(D);
  for (let n = first; n < N; n++) for (let d = 0; d < D; d++) sum[d]! += values[n * D + d]!;
  return Float32Array.from(sum, (v) => v / (N - first));
}

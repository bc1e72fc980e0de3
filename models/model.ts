/** A model by name or config, as training, evaluation and the command line use it. */
import type { Tensor } from "../engine/tensor.ts";
import { MAX_HEAD_WIDTH } from "../kernels/attention.ts";
import type { DropoutOptions } from "../kernels/dropout.ts";
import {
  checkConvnextConfig,
  convnext,
  convnextConfig,
  convnextCost,
  convnextNames,
  convnextParams,
  type ConvNeXtConfig,
} from "./convnext.ts";
import { deit, deitActivations, deitMacs, type DeitConfig, type DeitOptions, type DeitOutput } from "./deit.ts";
import { checkDeitConfig, DEIT, featureWidth } from "./deit-config.ts";
import { dropoutLayers } from "./deit-dropout.ts";
import { evaParts, transformerParams } from "./eva.ts";
import {
  checkRegnetConfig,
  regnet,
  regnetActivations,
  regnetBlocks,
  regnetConfig,
  regnetMacs,
  regnetNames,
  regnetParams,
  type RegNetConfig,
} from "./regnet.ts";
import {
  checkResnetConfig,
  resnet,
  resnetConfig,
  resnetCost,
  resnetNames,
  resnetParams,
  resnetWidth,
  type ResNetConfig,
} from "./resnet.ts";
import type { Params, ParamSpec } from "./params.ts";
import { quote, shownValue } from "./shown.ts";
import { HEADLESS, vitConfig, vitNames } from "./vit-names.ts";
import { pooledVit } from "./vit-pooled.ts";

export interface ForwardOptions extends Omit<DeitOptions, "layers" | "parts"> {
  /** Dropout of a transformer while training. */
  readonly dropout?: Omit<DropoutOptions, "stream">;
  /** Batch statistics and stochastic depth. */
  readonly training?: boolean;
}

export type ModelConfig = DeitConfig | RegNetConfig | ResNetConfig | ConvNeXtConfig;

export interface Model {
  readonly name: string;
  readonly config: ModelConfig;
  readonly params: readonly ParamSpec[];
  readonly numClasses: number;
  readonly distilled: boolean;
  /** Numbers that a head reads, and that a model without one gives. */
  readonly featureWidth: number;
  /** Channels, height, width of an input image. */
  readonly imageShape: readonly [number, number, number];
  /** Multiply-adds of one image's forward. */
  readonly macs: number;
  /** Output elements of convolutions, linear layers and attention's products, of one image. */
  readonly activations: number;
  /** Side of the patches in whose layout (B, P, channels p p) `forward` takes images too; `null`: images only. */
  readonly patch: number | null;
  /** x: (B, ...imageShape), normalised. */
  forward(p: Params, x: Tensor, options?: ForwardOptions): DeitOutput;
}

/** Every name that `createModel` knows. */
export const modelNames: readonly string[] = [...vitNames, ...regnetNames, ...resnetNames, ...convnextNames];

/** timm's name of a model's weights behind the model's own, e.g. `.fb_in1k`. */
const TAG = /\.\w+$/;

/**
 * A model by timm name, with or without the tag of its weights (`deit_tiny_patch16_224.fb_in1k`), or of a config object as the command
 * line takes it. `numClasses` replaces the name's own.
 *
 * @example
 * ```ts
 * const { name, params, forward } = createModel("deit_tiny_distilled_patch16_224", 10);
 * const { logits } = forward(loadParams(name, params, initialState(params, 0)), Tensor.zeros([1, 3, 224, 224]));
 * ```
 */
export function createModel(what: string | Readonly<Record<string, unknown>>, numClasses?: number): Model {
  if (typeof what === "string") {
    const name = HEADLESS.test(what) ? what : what.replace(TAG, "");
    const config = configOf(what, name);
    if (!config) throw new Error(`model: expected a timm name such as deit_tiny_distilled_patch16_224 or regnety_004, got ${quote(what)}`);
    return build(numClasses === undefined ? config : { ...config, numClasses }, name);
  }
  const given = numClasses === undefined ? what : { ...what, numClasses };
  if (given["arch"] === "deit" || given["arch"] === "vit") {
    const config: DeitConfig = { ...merge(DEIT, given), arch: "deit" };
    return build(config);
  }
  if (given["arch"] === "regnety") {
    const base = { ...regnetConfig("regnety_002")!, imgSize: 224 };
    const config = merge(base, given);
    return build(config);
  }
  if (given["arch"] === "resnet") return build(merge(resnetConfig("resnet18")!, given));
  if (given["arch"] === "convnext") return build(merge(convnextConfig("convnext_atto")!, given));
  throw new Error(`model: expected "arch" to be "deit", "regnety", "resnet" or "convnext", got ${shownValue(given["arch"])}`);
}

/** `bare`: the name without the tag of its weights, which decides only about a transformer's head. */
const configOf = (name: string, bare = name): ModelConfig | null =>
  vitConfig(name) ?? regnetConfig(bare) ?? resnetConfig(bare) ?? convnextConfig(bare);

/** timm's name of a config but for its classes, and of a convolutional one but for its images' size; `null` where there is none. DeiT's before ViT's. */
export function nameOf(config: ModelConfig): string | null {
  const free = config.arch === "deit" ? ["numClasses"] : ["numClasses", "imgSize"];
  const same = (base: ModelConfig) =>
    Object.entries(base).every(
      ([key, value]) => free.includes(key) || JSON.stringify(value) === JSON.stringify((config as unknown as Record<string, unknown>)[key]),
    );
  return modelNames.find((name) => same(configOf(name)!)) ?? null;
}

function merge<T extends object>(base: T, given: Readonly<Record<string, unknown>>): T {
  for (const key of Object.keys(given)) {
    if (!Object.hasOwn(base, key)) throw new Error(`model: expected ${Object.keys(base).join(", ")}, got ${quote(key)}`);
  }
  return { ...base, ...given };
}

/** Without a name it gets timm's of its config. */
function build(config: ModelConfig, name?: string): Model {
  if (config.arch === "deit") {
    checkDeitConfig(config);
    const { dim, heads } = config;
    const run = config.pool === "cls" && !config.fcNorm ? deit : pooledVit;
    if (dim / heads > MAX_HEAD_WIDTH)
      throw new Error(`deit: expected dim / heads of at most ${MAX_HEAD_WIDTH}, got ${dim / heads} (dim ${dim}, heads ${heads})`);
    return {
      name: name ?? nameOf(config) ?? "custom deit",
      config,
      params: transformerParams(config),
      numClasses: config.numClasses,
      distilled: config.distilled,
      featureWidth: featureWidth(config),
      imageShape: [config.inChans, config.imgSize, config.imgSize],
      patch: config.patchSize,
      macs: deitMacs(config),
      activations: deitActivations(config),
      forward: (p, x, { training = false, dropPath, dropout, ...options } = {}) =>
        run(p, x, config, {
          ...options,
          ...(config.rope !== null ? { parts: evaParts(config) } : {}),
          ...(training && dropPath ? { dropPath } : {}),
          ...(training && dropout ? { layers: dropoutLayers(dropout, dropPath) } : {}),
        }),
    };
  }
  if (config.arch === "regnety") checkRegnetConfig(config);
  else if (config.arch === "resnet") checkResnetConfig(config);
  else checkConvnextConfig(config);
  const convolutional = {
    name: name ?? nameOf(config) ?? `custom ${config.arch}`,
    numClasses: config.numClasses,
    distilled: false,
    patch: null,
  } as const;
  const imageShape = [3, config.imgSize, config.imgSize] as const;
  if (config.arch === "convnext")
    return {
      ...convolutional,
      config,
      imageShape,
      params: convnextParams(config),
      featureWidth: config.dims[3],
      ...convnextCost(config),
      forward: (p, x, { training = false, dropPath, tap } = {}) =>
        single(convnext(p, x, config, { ...(training && dropPath ? { dropPath } : {}), ...(tap ? { tap } : {}) })),
    };
  if (config.arch === "resnet")
    return {
      ...convolutional,
      config,
      imageShape,
      params: resnetParams(config),
      featureWidth: resnetWidth(config),
      ...resnetCost(config),
      forward: (p, x, { training = false, tap } = {}) => single(resnet(p, x, config, { training, ...(tap ? { tap } : {}) })),
    };
  return {
    ...convolutional,
    config,
    imageShape,
    params: regnetParams(config),
    featureWidth: regnetBlocks(config).at(-1)!.width,
    macs: regnetMacs(config, config.imgSize, config.imgSize),
    activations: regnetActivations(config, config.imgSize, config.imgSize),
    forward: (p, x, { training = false, tap } = {}) => single(regnet(p, x, config, { training, ...(tap ? { tap } : {}) })),
  };
}

/** The output of a model with one head. */
const single = (logits: Tensor): DeitOutput => ({ logits, logitsCls: logits, logitsDist: null });

/**
 * Vision transformer and DeiT, plain and distilled, of any size.
 *
 * Touvron et al. 2021, "Training data-efficient image transformers & distillation through attention",
 * https://arxiv.org/abs/2012.12877. Parameter names are timm's.
 */
import type { Scalar } from "../kernels/shared/scalars.ts";
import { sameShape, show } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";
import { attentionPacked } from "../kernels/attention.ts";
import { dropPath as dropPathOp, dropPathFactors } from "../kernels/drop-path.ts";
import type { SampleFactors } from "../kernels/shared/sample-factors.ts";
import { dropout } from "../kernels/dropout.ts";
import { add, average } from "../kernels/elementwise.ts";
import { layerNorm } from "../kernels/layer-norm.ts";
import { reshape, slice } from "../kernels/movement.ts";
import { linear } from "../kernels/linear.ts";
import { mlp } from "../kernels/mlp.ts";
import { patchEmbed, patchTokens } from "../kernels/patch-embed.ts";
import { tokenLinear } from "../kernels/token-linear.ts";
import type { Init, Params, ParamSpec } from "./params.ts";

export interface DeitConfig {
  readonly arch: "deit";
  readonly imgSize: number;
  readonly patchSize: number;
  readonly inChans: number;
  readonly dim: number;
  readonly depth: number;
  readonly heads: number;
  readonly mlpRatio: number;
  /** 0: no classifier, as timm's `num_classes=0`; the model gives features. */
  readonly numClasses: number;
  /** Has a distillation token and head. */
  readonly distilled: boolean;
}

export const LAYER_NORM_EPS = 1e-6;

/** Dropout's random streams begin here, past those of stochastic depth. */
const DROPOUT = 0x64726f70; // "drop"

const SIZES = { tiny: { dim: 192, heads: 3 }, small: { dim: 384, heads: 6 }, base: { dim: 768, heads: 12 } } as const;

/** The names of the eight DeiT, then those of the `vit_*` of their sizes. `deitConfig` knows them all. */
export const deitNames: readonly string[] = [
  ...["", "_distilled"].flatMap((kind) => [
    ...Object.keys(SIZES).map((size) => `deit_${size}${kind}_patch16_224`),
    `deit_base${kind}_patch16_384`,
  ]),
  ...Object.keys(SIZES).flatMap((size) => [`vit_${size}_patch16_224`, `vit_${size}_patch16_384`]),
];

/** The config of a timm model name without its tag, e.g. `deit_tiny_distilled_patch16_224`, `vit_small_patch16_384`; `null` for other names. */
export function deitConfig(name: string): DeitConfig | null {
  const match = /^(deit|vit)_(tiny|small|base)(_distilled)?_patch16_(224|384)$/.exec(name);
  if (!match || (match[1] === "vit" && match[3])) return null;
  const { dim, heads } = SIZES[match[2] as keyof typeof SIZES];
  return {
    arch: "deit",
    imgSize: Number(match[4]),
    patchSize: 16,
    inChans: 3,
    dim,
    depth: 12,
    heads,
    mlpRatio: 4,
    numClasses: 1000,
    distilled: match[3] !== undefined,
  };
}

// Far beyond any trained model. Limits the lists that an untrusted config allocates.
const MOST_DEPTH = 1000,
  MOST_PARAMETERS = 2 ** 33;

/** Throws unless the sizes are possible and fit each other. */
export function checkDeitConfig(c: DeitConfig): void {
  for (const key of ["imgSize", "patchSize", "inChans", "dim", "depth", "heads", "mlpRatio"] as const) {
    if (!(typeof c[key] === "number" && c[key] > 0) || (key !== "mlpRatio" && !Number.isInteger(c[key])))
      throw new Error(`deit: expected a positive ${key}, got ${JSON.stringify(c[key])}`);
  }
  if (!(Number.isInteger(c.numClasses) && c.numClasses >= 0))
    throw new Error(`deit: expected numClasses of 0 or more, got ${JSON.stringify(c.numClasses)}`);
  if (typeof c.distilled !== "boolean") throw new Error(`deit: expected distilled to be true or false, got ${JSON.stringify(c.distilled)}`);
  if (c.imgSize % c.patchSize !== 0)
    throw new Error(`deit: expected imgSize to be a multiple of patchSize ${c.patchSize}, got ${c.imgSize}`);
  if (c.dim % c.heads !== 0) throw new Error(`deit: expected dim to be a multiple of heads ${c.heads}, got ${c.dim}`);
  if (mlpWidth(c) < 1) throw new Error(`deit: expected mlpRatio of at least 1 / dim, got ${c.mlpRatio} of dim ${c.dim}`);
  if (c.depth > MOST_DEPTH) throw new Error(`deit: expected a depth of at most ${MOST_DEPTH}, got ${c.depth}`);
  const parameters = c.dim * (c.depth * (4 * c.dim + 2 * mlpWidth(c)) + tokens(c) + c.inChans * c.patchSize ** 2 + 2 * c.numClasses);
  if (parameters > MOST_PARAMETERS) throw new Error(`deit: expected at most ${MOST_PARAMETERS} parameters, got some ${parameters}`);
}

/** Width of the MLP's hidden layer, cut off to an integer as timm's `int(dim * mlp_ratio)`. */
const mlpWidth = (c: DeitConfig): number => Math.trunc(c.dim * c.mlpRatio);

/** Tokens before the patches: class, and distillation. */
export const prefixTokens = (c: DeitConfig): number => (c.distilled ? 2 : 1);

/** Total number of tokens. */
export const tokens = (c: DeitConfig): number => (c.imgSize / c.patchSize) ** 2 + prefixTokens(c);

/** Names and shapes in state-dict order. Initial values and weight decay are those of the official code. */
export function deitParams(c: DeitConfig): ParamSpec[] {
  checkDeitConfig(c);
  const D = c.dim;
  const hidden = mlpWidth(c);
  const fanIn = c.inChans * c.patchSize ** 2;
  const std: Init = { kind: "normal", std: 0.02 };
  const spec = (name: string, shape: readonly number[], init: Init, decay = shape.length > 1): ParamSpec => ({
    name,
    shape,
    init,
    trainable: true,
    decay,
  });
  const norm = (name: string) => [spec(`${name}.weight`, [D], { kind: "ones" }), spec(`${name}.bias`, [D], { kind: "zeros" })];
  const dense = (name: string, out: number, into: number) => [
    spec(`${name}.weight`, [out, into], std),
    spec(`${name}.bias`, [out], { kind: "zeros" }),
  ];
  const patchInit: Init = { kind: "uniform", bound: 1 / Math.sqrt(fanIn) }; // the convolution keeps PyTorch's default
  return [
    spec("cls_token", [1, 1, D], std, false),
    spec("pos_embed", [1, tokens(c), D], std, false),
    ...(c.distilled ? [spec("dist_token", [1, 1, D], std)] : []), // decayed: the official no-decay list names only the other two
    spec("patch_embed.proj.weight", [D, c.inChans, c.patchSize, c.patchSize], patchInit),
    spec("patch_embed.proj.bias", [D], patchInit),
    ...Array.from({ length: c.depth }, (_, i) => `blocks.${i}`).flatMap((b) => [
      ...norm(`${b}.norm1`),
      ...dense(`${b}.attn.qkv`, 3 * D, D),
      ...dense(`${b}.attn.proj`, D, D),
      ...norm(`${b}.norm2`),
      ...dense(`${b}.mlp.fc1`, hidden, D),
      ...dense(`${b}.mlp.fc2`, D, hidden),
    ]),
    ...norm("norm"),
    ...(c.numClasses > 0 ? dense("head", c.numClasses, D) : []),
    ...(c.numClasses > 0 && c.distilled ? dense("head_dist", c.numClasses, D) : []),
  ];
}

/** Multiply-adds of one image's forward: convolution, linear layers and the two attention products. */
export function deitMacs(c: DeitConfig): number {
  const N = tokens(c),
    D = c.dim,
    P = N - prefixTokens(c);
  return (
    c.inChans * c.patchSize ** 2 * P * D +
    c.depth * ((4 * D + 2 * mlpWidth(c)) * N * D + 2 * N ** 2 * D) +
    prefixTokens(c) * D * c.numClasses
  );
}

/** Output elements of the same layers and products, of one image: what timm's tables call activations. */
export function deitActivations(c: DeitConfig): number {
  const N = tokens(c),
    q = prefixTokens(c);
  return (N - q) * c.dim + c.depth * ((6 * c.dim + mlpWidth(c)) * N + c.heads * N ** 2) + q * c.numClasses;
}

export interface DeitOptions {
  /** Stochastic depth while training; its rate grows linearly from 0 to `rate` over the blocks. */
  readonly dropPath?: { readonly rate: number; readonly seed: Scalar; readonly step: Scalar };
  /** Dropout while training: after the position embedding, and in each branch after projection, activation and second layer. */
  readonly dropout?: { readonly rate: number; readonly seed: Scalar; readonly step: Scalar };
  /** Called with intermediate results: `patch_embed`, `blocks.0` …, `norm`, and `blocks.i.attn.qkv`. */
  readonly tap?: (name: string, value: Tensor) => void;
}

export interface DeitOutput {
  /** [B, K]: of the class head, or the mean of both heads in a distilled model. Without heads (K = 0) the features [B, D] that they would take. */
  readonly logits: Tensor;
  readonly logitsCls: Tensor;
  /** `null` in a plain model. */
  readonly logitsDist: Tensor | null;
}

/** x: (B, inChans, imgSize, imgSize), normalised; or its patches (B, P, inChans p p), p = patchSize. */
export function deit(p: Params, x: Tensor, c: DeitConfig, { dropPath, dropout: drop, tap }: DeitOptions = {}): DeitOutput {
  const B = x.shape[0];
  const images = [c.inChans, c.imgSize, c.imgSize],
    patches = [(c.imgSize / c.patchSize) ** 2, c.inChans * c.patchSize ** 2];
  if (![images, patches].some((shape) => sameShape(x.shape.slice(1), shape))) {
    throw new Error(
      `deit: expected images [B,${c.inChans},${c.imgSize},${c.imgSize}] or patches [B,${patches.join()}], got ${show(x.shape)}`,
    );
  }
  const w = (name: string): Tensor => p[name]!;
  const norm = (name: string, t: Tensor) => layerNorm(t, w(`${name}.weight`), w(`${name}.bias`), { eps: LAYER_NORM_EPS });

  const proj = [w("patch_embed.proj.weight"), w("patch_embed.proj.bias")] as const;
  tap?.("patch_embed", patchEmbed(x, ...proj));
  let t = patchTokens(x, ...proj, [w("cls_token"), ...(c.distilled ? [w("dist_token")] : [])], w("pos_embed"));

  const rates = Array.from({ length: 2 * c.depth }, (_, k) =>
    dropPath && c.depth > 1 ? (dropPath.rate * Math.floor(k / 2)) / (c.depth - 1) : 0,
  );
  const drawn = dropPath && rates.some((rate) => rate > 0) ? dropPathFactors(rates, B!, dropPath) : null;
  const factors = (k: number): SampleFactors | undefined => (drawn && rates[k]! > 0 ? { tensor: drawn, at: k * B! } : undefined);

  const dropped = (y: Tensor, stream: number): Tensor => (drop ? dropout(y, { ...drop, stream: DROPOUT + stream }) : y);
  t = dropped(t, 0);

  for (let i = 0; i < c.depth; i++) {
    const b = `blocks.${i}`;
    const layer = (name: string) => [w(`${b}.${name}.weight`), w(`${b}.${name}.bias`)] as const;
    const qkv = linear(norm(`${b}.norm1`, t), ...layer("attn.qkv"));
    tap?.(`${b}.attn.qkv`, qkv);
    const mixed = attentionPacked(qkv, { heads: c.heads });
    if (!drop) {
      t = linear(mixed, ...layer("attn.proj"), { residual: t, factors: factors(2 * i) });
      t = mlp(norm(`${b}.norm2`, t), ...layer("mlp.fc1"), ...layer("mlp.fc2"), { residual: t, factors: factors(2 * i + 1) });
    } else {
      // Dropout acts between the parts of the fused layers.
      const branch = (y: Tensor, k: number) =>
        add(t, rates[k]! > 0 ? dropPathOp(y, { rate: rates[k]!, seed: dropPath!.seed, step: dropPath!.step, stream: k }) : y);
      t = branch(dropped(linear(mixed, ...layer("attn.proj")), 3 * i + 1), 2 * i);
      const hidden = dropped(linear(norm(`${b}.norm2`, t), ...layer("mlp.fc1"), { activation: "gelu" }), 3 * i + 2);
      t = branch(dropped(linear(hidden, ...layer("mlp.fc2")), 3 * i + 3), 2 * i + 1);
    }
    tap?.(b, t);
  }
  // The norm is per token, so only the tokens that are read need it.
  if (tap) tap("norm", norm("norm", t));
  const read = norm("norm", slice(t, 1, 0, prefixTokens(c)));
  const head = (name: string, at: number) =>
    c.numClasses > 0 ? tokenLinear(read, at, w(`${name}.weight`), w(`${name}.bias`)) : reshape(slice(read, 1, at, at + 1), [B!, c.dim]);
  const logitsCls = head("head", 0);
  if (!c.distilled) return { logits: logitsCls, logitsCls, logitsDist: null };
  const logitsDist = head("head_dist", 1);
  return { logits: average(logitsCls, logitsDist), logitsCls, logitsDist };
}

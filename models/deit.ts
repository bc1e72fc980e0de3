/**
 * Vision transformers of timm's names and any size: ViT, DeiT plain and distilled, DeiT III, DINO, DINOv2 with and without registers, MAE.
 *
 * Touvron et al. 2021, "Training data-efficient image transformers & distillation through attention",
 * https://arxiv.org/abs/2012.12877. Parameter names are timm's.
 */
import type { Scalar } from "../kernels/shared/scalars.ts";
import { sameShape, show } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";
import { attentionPacked } from "../kernels/attention.ts";
import { variantOf } from "../kernels/attention/kept.ts";
import { dropPathFactors } from "../kernels/drop-path.ts";
import type { SampleFactors } from "../kernels/shared/sample-factors.ts";
import { average } from "../kernels/elementwise.ts";
import { layerNorm } from "../kernels/layer-norm.ts";
import { reshape, slice } from "../kernels/movement.ts";
import { linear } from "../kernels/linear.ts";
import { mlp } from "../kernels/mlp.ts";
import { patchEmbed, patchTokens } from "../kernels/patch-embed.ts";
import { tokenLinear } from "../kernels/token-linear.ts";
import { featureWidth, firstWidth, headTokens, mlpWidth, posEmbedPrefix, prefixTokens, tokens, type DeitConfig } from "./deit-config.ts";
import type { Init, Params, ParamSpec } from "./params.ts";
import { denseSpecs, normSpecs, spec, STD } from "./specs.ts";

export { prefixTokens, tokens, type DeitConfig } from "./deit-config.ts";

/**
 * Names and shapes in state-dict order, of a config that `checkDeitConfig` takes. Initial values and weight decay are those of the official code.
 * `block`: the parameters of a block, where they are not ViT's.
 */
export function deitParams(c: DeitConfig, block: (c: DeitConfig, i: number) => ParamSpec[] = blockParams): ParamSpec[] {
  const D = c.dim;
  const patchInit: Init = { kind: "uniform", bound: 1 / Math.sqrt(c.inChans * c.patchSize ** 2) }; // the convolution keeps PyTorch's default
  return [
    spec("cls_token", [1, 1, D], STD, false),
    ...(c.regTokens > 0 ? [spec("reg_token", [1, c.regTokens, D], { kind: "normal", std: 1e-6 }, false)] : []),
    ...(c.rope === "dinov3" ? [] : [spec("pos_embed", [1, tokens(c) - prefixTokens(c) + posEmbedPrefix(c), D], STD, false)]),
    ...(c.distilled ? [spec("dist_token", [1, 1, D], STD)] : []), // decayed: the official no-decay list names only the other two
    spec("patch_embed.proj.weight", [D, c.inChans, c.patchSize, c.patchSize], patchInit),
    ...(c.preNorm ? normSpecs("norm_pre", D) : [spec("patch_embed.proj.bias", [D], patchInit)]),
    ...Array.from({ length: c.depth }, (_, i) => block(c, i)).flat(),
    ...(c.finalNorm ? normSpecs(c.fcNorm ? "fc_norm" : "norm", D) : []),
    ...(c.numClasses > 0 ? denseSpecs("head", c.numClasses, featureWidth(c)) : []),
    ...(c.numClasses > 0 && c.distilled ? denseSpecs("head_dist", c.numClasses, D) : []),
  ];
}

function blockParams(c: DeitConfig, i: number): ParamSpec[] {
  const D = c.dim,
    b = `blocks.${i}`;
  const layerScale = (name: string) =>
    c.layerScale === null ? [] : [spec(`${name}.gamma`, [D], { kind: "constant", value: c.layerScale })];
  return [
    ...normSpecs(`${b}.norm1`, D),
    ...denseSpecs(`${b}.attn.qkv`, 3 * D, D, { bias: c.qkvBias }),
    ...denseSpecs(`${b}.attn.proj`, D, D),
    ...layerScale(`${b}.ls1`),
    ...normSpecs(`${b}.norm2`, D),
    ...denseSpecs(`${b}.mlp.fc1`, mlpWidth(c), D),
    ...denseSpecs(`${b}.mlp.fc2`, D, mlpWidth(c)),
    ...layerScale(`${b}.ls2`),
  ];
}

/**
 * Multiply-adds of one image's forward: convolution, linear layers and the two attention products. `read`: how many tokens the last block
 * makes past its keys and values; all of them is what tables of models count.
 */
export function deitMacs(c: DeitConfig, read = tokens(c)): number {
  const N = tokens(c),
    D = c.dim,
    P = N - prefixTokens(c);
  const block = (made: number) => 3 * D * N * D + (D + firstWidth(c) + mlpWidth(c)) * made * D + 2 * N * made * D;
  return c.inChans * c.patchSize ** 2 * P * D + (c.depth - 1) * block(N) + block(read) + headTokens(c) * featureWidth(c) * c.numClasses;
}

/** Output elements of the same layers and products, of one image: what timm's tables call activations. */
export function deitActivations(c: DeitConfig): number {
  const N = tokens(c);
  return (N - prefixTokens(c)) * c.dim + c.depth * ((6 * c.dim + firstWidth(c)) * N + c.heads * N ** 2) + headTokens(c) * c.numClasses;
}

export interface DeitOptions {
  /** Stochastic depth while training; its rate grows linearly from 0 to `rate` over the blocks, or is the same in all. */
  readonly dropPath?: { readonly rate: number; readonly uniform?: boolean; readonly seed: Scalar; readonly step: Scalar };
  /** Layers in place of the fused ones, such as those with dropout between them (deit-dropout.ts). */
  readonly layers?: Layers;
  /** What a family has otherwise than ViT (eva.ts). */
  readonly parts?: Parts;
  /** Called with intermediate results: `patch_embed`, `blocks.0` …, `norm`, and `blocks.i.attn.qkv`. */
  readonly tap?: (name: string, value: Tensor) => void;
}

/** Weight and bias. */
export type Dense = readonly [Tensor, Tensor];

/** A block's branch 1 (attention) or 2 (MLP): its LayerScale, and stochastic depth at `rate` with the factors drawn for it. */
export interface Branch {
  readonly block: number;
  readonly which: 1 | 2;
  readonly rate: number;
  readonly scale: Tensor | undefined;
  readonly factors: SampleFactors | undefined;
}

/** How the tokens enter the first block, and how a block's two branches end, each added to the tokens `t` that it began with. */
export interface Layers {
  embedded(t: Tensor): Tensor;
  /** A branch's last layer. */
  projected(t: Tensor, mixed: Tensor, proj: Dense, branch: Branch): Tensor;
  mlp(t: Tensor, normed: Tensor, fc1: Dense, fc2: Dense, branch: Branch): Tensor;
  /** What an MLP that is no op of its own has between its layers. */
  hidden(h: Tensor, branch: Branch): Tensor;
}

const FUSED: Layers = {
  embedded: (t) => t,
  projected: (t, mixed, proj, { scale, factors }) => linear(mixed, ...proj, { residual: t, scale, factors }),
  mlp: (t, normed, fc1, fc2, { scale, factors }) => mlp(normed, ...fc1, ...fc2, { residual: t, scale, factors }),
  hidden: (h) => h,
};

/** What may differ between families of vision transformers. */
export interface Parts {
  /** The first tokens, of images and the names of the learned ones in front: (B, tokens, dim). */
  tokens(p: Params, x: Tensor, front: readonly string[]): Tensor;
  /** The name of a branch's LayerScale. */
  scale(block: string, which: 1 | 2): string;
  /** Query, key and value of the tokens t, side by side: (B, N, 3 dim). */
  qkv(p: Params, block: string, t: Tensor): Tensor;
  /** The MLP's branch, added to t. */
  mlp(p: Params, block: string, t: Tensor, normed: Tensor, layers: Layers, branch: Branch): Tensor;
}

/** Weight and bias by the name of their layer. */
export const dense = (p: Params, name: string): Dense => [p[`${name}.weight`]!, p[`${name}.bias`]!];

/** The patch embedding's weight and bias. */
export const patchLayer = (p: Params, c: DeitConfig) =>
  [p["patch_embed.proj.weight"]!, c.preNorm ? null : p["patch_embed.proj.bias"]!] as const;

/** The first tokens, with learned positions. */
export function placed(p: Params, x: Tensor, front: readonly string[], c: DeitConfig): Tensor {
  const learned = front.map((name) => p[name]!);
  return patchTokens(x, ...patchLayer(p, c), learned, p["pos_embed"]!);
}

function vitParts(c: DeitConfig): Parts {
  if (c.rope !== null) throw new Error(`deit: expected the parts of its family (eva.ts) for rope "${c.rope}", got none`);
  return {
    tokens: (p, x, front) => placed(p, x, front, c),
    scale: (block, which) => `${block}.ls${which}.gamma`,
    qkv: (p, block, t) => linear(t, p[`${block}.attn.qkv.weight`]!, c.qkvBias ? p[`${block}.attn.qkv.bias`]! : null),
    mlp: (p, block, t, normed, layers, branch) => layers.mlp(t, normed, dense(p, `${block}.mlp.fc1`), dense(p, `${block}.mlp.fc2`), branch),
  };
}

export interface DeitOutput {
  /** [B, K]: of the class head, or the mean of both heads in a distilled model. Without heads (K = 0) the features [B, D] that they would take. */
  readonly logits: Tensor;
  readonly logitsCls: Tensor;
  /** `null` in a plain model. */
  readonly logitsDist: Tensor | null;
}

/** LayerNorm by the parameters of that name. */
export const normed = (p: Params, name: string, t: Tensor, { eps }: DeitConfig): Tensor =>
  layerNorm(t, p[`${name}.weight`]!, p[`${name}.bias`]!, { eps });

/** The last norm of a model that has it over all tokens. */
export const ended = (p: Params, t: Tensor, c: DeitConfig): Tensor => (c.finalNorm && !c.fcNorm ? normed(p, "norm", t, c) : t);

/**
 * The tokens that the last block makes: (B, tokens, dim). Of those only the first `read` are asked for: past its keys and values the
 * block is made for these alone, (B, read, dim), unless a `tap` looks on.
 * x: (B, inChans, imgSize, imgSize), normalised; or its patches (B, P, inChans p p), p = patchSize.
 */
export function encode(p: Params, x: Tensor, c: DeitConfig, options: DeitOptions = {}, read = tokens(c)): Tensor {
  const { dropPath, layers = FUSED, parts = vitParts(c), tap } = options;
  const B = x.shape[0];
  const images = [c.inChans, c.imgSize, c.imgSize],
    patches = [(c.imgSize / c.patchSize) ** 2, c.inChans * c.patchSize ** 2];
  if (![images, patches].some((shape) => sameShape(x.shape.slice(1), shape))) {
    throw new Error(
      `deit: expected images [B,${c.inChans},${c.imgSize},${c.imgSize}] or patches [B,${patches.join()}], got ${show(x.shape)}`,
    );
  }
  const norm = (name: string, t: Tensor) => normed(p, name, t, c);

  tap?.("patch_embed", patchEmbed(x, ...patchLayer(p, c)));
  let t = parts.tokens(p, x, ["cls_token", ...(c.distilled ? ["dist_token"] : []), ...(c.regTokens > 0 ? ["reg_token"] : [])]);

  const rates = Array.from({ length: 2 * c.depth }, (_, k) =>
    dropPath?.uniform ? dropPath.rate : dropPath && c.depth > 1 ? (dropPath.rate * Math.floor(k / 2)) / (c.depth - 1) : 0,
  );
  const drawn = dropPath && rates.some((rate) => rate > 0) ? dropPathFactors(rates, B!, dropPath) : null;
  const branch = (block: number, which: 1 | 2): Branch => {
    const k = 2 * block + which - 1;
    return {
      block,
      which,
      rate: rates[k]!,
      scale: c.layerScale === null ? undefined : p[parts.scale(`blocks.${block}`, which)]!,
      factors: drawn && rates[k]! > 0 ? { tensor: drawn, at: k * B! } : undefined,
    };
  };

  t = layers.embedded(t);
  if (c.preNorm) t = norm("norm_pre", t);

  for (let i = 0; i < c.depth; i++) {
    const b = `blocks.${i}`;
    const qkv = parts.qkv(p, b, norm(`${b}.norm1`, t));
    tap?.(`${b}.attn.qkv`, qkv);
    const N = qkv.shape[1]!;
    const variant = qkv.requiresGrad ? variantOf(c.depth, { B: B!, H: c.heads, N, M: N }, qkv.dtype) : undefined;
    const queries = i === c.depth - 1 && !tap ? read : N;
    const mixed = attentionPacked(qkv, { heads: c.heads, queries, variant });
    t = layers.projected(slice(t, 1, 0, queries), mixed, dense(p, `${b}.attn.proj`), branch(i, 1));
    t = parts.mlp(p, b, t, norm(`${b}.norm2`, t), layers, branch(i, 2));
    tap?.(b, t);
  }
  tap?.("norm", ended(p, t, c));
  return t;
}

/** A model whose heads read tokens of their own: all with pool "cls" and without fcNorm (for others: vit-pooled.ts). x: as of `encode`. */
export function deit(p: Params, x: Tensor, c: DeitConfig, options: DeitOptions = {}): DeitOutput {
  if (c.pool !== "cls" || c.fcNorm) throw new Error(`deit: expected pool "cls" and no fcNorm, got "${c.pool}" and fcNorm ${c.fcNorm}`);
  // The norm is per token: only those that are read need it.
  const read = ended(p, slice(encode(p, x, c, options, headTokens(c)), 1, 0, headTokens(c)), c);
  const logitsCls = headOf(p, "head", read, 0, c);
  if (!c.distilled) return { logits: logitsCls, logitsCls, logitsDist: null };
  const logitsDist = headOf(p, "head_dist", read, 1, c);
  return { logits: average(logitsCls, logitsDist), logitsCls, logitsDist };
}

/** What a head makes of its token. read: (B, headTokens, D). Without classes the token itself. */
const headOf = (p: Params, name: string, read: Tensor, token: number, c: DeitConfig): Tensor =>
  c.numClasses > 0
    ? tokenLinear(read, token, p[`${name}.weight`]!, p[`${name}.bias`]!)
    : reshape(slice(read, 1, token, token + 1), [read.shape[0]!, c.dim]);

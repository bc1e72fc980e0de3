/** What a vision transformer is made of: sizes, and the switches in which the families of timm's `VisionTransformer` differ. */

import { shownValue } from "./shown.ts";

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
  /** Initial value of a learned factor per channel at the end of each branch (LayerScale, timm's `init_values`); null: none. */
  readonly layerScale: number | null;
  /** Learned tokens besides, which no head reads: registers. */
  readonly regTokens: number;
  /** False: the position embedding is for the patches alone (timm's `no_embed_class`). */
  readonly posEmbedCls: boolean;
  /** A norm before the first block, and no bias in the patch embedding (timm's `pre_norm`). */
  readonly preNorm: boolean;
  readonly qkvBias: boolean;
  /** Of every layer norm. */
  readonly eps: number;
  /** What the head reads: the class token, the mean of the patches, or one behind the other, as DINOv2's linear heads do. */
  readonly pool: (typeof POOLS)[number];
  /** A norm after the last block: of the tokens, or with `fcNorm` of what is pooled. */
  readonly finalNorm: boolean;
  readonly fcNorm: boolean;
  /** Rotary positions in attention, as DINOv3 has them in place of a position embedding, or EVA-02 beside it (eva.ts); null: none. */
  readonly rope: (typeof ROPES)[number];
  /** False: query, key and value have weights of their own. */
  readonly qkvFused: boolean;
  /** A gated MLP (kernels/swiglu.ts), gates and values by one layer `fc1` or by two, `fc1_g` and `fc1_x`; null: GELU. */
  readonly swiglu: (typeof SWIGLUS)[number];
  /** A norm of the gated MLP's hidden layer. */
  readonly mlpNorm: boolean;
}

const POOLS = ["cls", "mean", "both"] as const;
const ROPES = ["dinov3", "eva02", null] as const;
const SWIGLUS = ["packed", "split", null] as const;

/** DeiT-Ti: what stands for the keys that a config leaves out. */
export const DEIT: DeitConfig = {
  arch: "deit",
  imgSize: 224,
  patchSize: 16,
  inChans: 3,
  dim: 192,
  depth: 12,
  heads: 3,
  mlpRatio: 4,
  numClasses: 1000,
  distilled: false,
  layerScale: null,
  regTokens: 0,
  posEmbedCls: true,
  preNorm: false,
  qkvBias: true,
  eps: 1e-6,
  pool: "cls",
  finalNorm: true,
  fcNorm: false,
  rope: null,
  qkvFused: true,
  swiglu: null,
  mlpNorm: false,
};

/** Width of the MLP's hidden layer, cut off to an integer as timm's `int(dim * mlp_ratio)`. */
export const mlpWidth = (c: DeitConfig): number => Math.trunc(c.dim * c.mlpRatio);

/** Width of what the MLP's first layer makes: gates too. */
export const firstWidth = (c: DeitConfig): number => (c.swiglu === null ? 1 : 2) * mlpWidth(c);

/** Tokens that heads read: class, and distillation. */
export const headTokens = (c: DeitConfig): number => (c.distilled ? 2 : 1);

/** Tokens before the patches: class, distillation, registers. */
export const prefixTokens = (c: DeitConfig): number => headTokens(c) + c.regTokens;

/** Tokens in all. */
export const tokens = (c: DeitConfig): number => (c.imgSize / c.patchSize) ** 2 + prefixTokens(c);

/** Rows of the position embedding before those of the patches. */
export const posEmbedPrefix = (c: DeitConfig): number => (c.posEmbedCls ? prefixTokens(c) : 0);

/** Numbers that a head reads. */
export const featureWidth = (c: DeitConfig): number => (c.pool === "both" ? 2 : 1) * c.dim;

// Far beyond any trained model; a config in a file may claim anything, and lists of this length are made from it.
const MOST_DEPTH = 1000,
  MOST_PARAMETERS = 2 ** 33;
/** Side of an image in pixels, far beyond what any adapter holds. */
const MOST_SIDE = 2 ** 16;

/** Throws unless the sizes fit each other and are those of a model that can be. */
export function checkDeitConfig(c: DeitConfig): void {
  const refuse = (expected: string, got: unknown): never => {
    throw new Error(`deit: expected ${expected}, got ${shownValue(got)}`);
  };
  for (const key of ["imgSize", "patchSize", "inChans", "dim", "depth", "heads", "mlpRatio"] as const) {
    if (!(typeof c[key] === "number" && c[key] > 0) || (key !== "mlpRatio" && !Number.isInteger(c[key])))
      throw new Error(`deit: expected a positive ${key}, got ${shownValue(c[key])}`);
  }
  if (!(Number.isInteger(c.numClasses) && c.numClasses >= 0))
    throw new Error(`deit: expected numClasses of 0 or more, got ${shownValue(c.numClasses)}`);
  for (const key of ["distilled", "posEmbedCls", "preNorm", "qkvBias", "finalNorm", "fcNorm", "qkvFused", "mlpNorm"] as const)
    if (typeof c[key] !== "boolean") refuse(`${key} to be true or false`, c[key]);
  if (c.layerScale !== null && !Number.isFinite(c.layerScale)) refuse("layerScale of a number or null", c.layerScale);
  if (!(Number.isInteger(c.regTokens) && c.regTokens >= 0)) refuse("regTokens of 0 or more", c.regTokens);
  if (!(typeof c.eps === "number" && c.eps > 0)) refuse("a positive eps", c.eps);
  if (!POOLS.includes(c.pool)) refuse(`pool ${POOLS.map((p) => `"${p}"`).join(" or ")}`, c.pool);
  const among = (key: "rope" | "swiglu", values: readonly (string | null)[]) =>
    values.includes(c[key]) || refuse(`${key} ${values.map((v) => JSON.stringify(v)).join(" or ")}`, c[key]);
  among("rope", ROPES);
  among("swiglu", SWIGLUS);
  if (c.rope === null && (!c.qkvFused || c.swiglu !== null)) refuse("separate query and key, or swiglu, beside rope alone", c.rope);
  if (c.mlpNorm && c.swiglu !== "split") refuse('mlpNorm beside swiglu "split" alone', c.swiglu);
  if (c.rope !== null && (c.distilled || c.dim % (4 * c.heads) !== 0))
    refuse(
      "no distillation, and heads of a multiple of 4 channels, beside rope",
      `${c.distilled ? "distilled, " : ""}dim ${c.dim} of heads ${c.heads}`,
    );
  if (c.distilled && (c.regTokens > 0 || c.pool !== "cls" || c.fcNorm))
    throw new Error(
      `deit: expected no registers, pooling of patches or fcNorm in a distilled model, got regTokens ${c.regTokens}, pool "${c.pool}", fcNorm ${c.fcNorm}`,
    );
  if (c.fcNorm && (!c.finalNorm || c.pool === "both")) refuse('fcNorm beside finalNorm and pool "cls" or "mean"', c.pool);
  if (c.imgSize % c.patchSize !== 0)
    throw new Error(`deit: expected imgSize to be a multiple of patchSize ${c.patchSize}, got ${c.imgSize}`);
  if (c.dim % c.heads !== 0) throw new Error(`deit: expected dim to be a multiple of heads ${c.heads}, got ${c.dim}`);
  if (mlpWidth(c) < 1) throw new Error(`deit: expected mlpRatio of at least 1 / dim, got ${c.mlpRatio} of dim ${c.dim}`);
  if (c.depth > MOST_DEPTH) throw new Error(`deit: expected a depth of at most ${MOST_DEPTH}, got ${c.depth}`);
  const parameters =
    c.dim * (c.depth * (4 * c.dim + firstWidth(c) + mlpWidth(c)) + tokens(c) + c.inChans * c.patchSize ** 2 + 2 * c.numClasses);
  if (parameters > MOST_PARAMETERS) throw new Error(`deit: expected at most ${MOST_PARAMETERS} parameters, got some ${parameters}`);
  if (c.imgSize > MOST_SIDE) throw new Error(`deit: expected an imgSize of at most ${MOST_SIDE}, got ${c.imgSize}`);
}

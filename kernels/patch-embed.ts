/**
 * Images to tokens: each p x p patch of all channels, flattened, through one fully connected layer (a convolution whose
 * stride is its kernel's size). Images may come in the layout of their patches. Optionally with learned tokens in front and a position
 * added to each token, or to each patch alone.
 *
 *   y[b, i] = W patch(x, b, i) + bias,   patches in row-major order
 *   t[b] = [prefix; y[b]] + position   or   [prefix; y[b] + position]
 *
 * Backward, with rows over all patches: dW = dy^T patches,   dbias = sum of dy,   dx = dy W put back where it was taken,
 * dposition = sum of dt over b, and dprefix its first rows.
 *
 * Dosovitskiy et al. 2020, section 3.1, https://arxiv.org/abs/2010.11929
 */
import { defineOp } from "../engine/autograd.ts";
import { sameShape, show } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";
import { dense, denseInputGrad, denseWeightGrad } from "./gemm/dense.ts";
import type { GemmVariant } from "./gemm/tiles.ts";
import { cutPatches, placeTokens, tokenGradients, tokensOf, tokenWgsl, type Tokens } from "./shared/patch-tokens.ts";
import { patchesPerImage, patchMap, type PatchSizes } from "./shared/patches.ts";

/** How x lies: as images, or (`null`) as rows of patches. */
interface PatchLayout {
  readonly B: number;
  readonly P: number;
  readonly sizes: PatchSizes | null;
}

function patchLayout(x: Tensor, weight: Tensor): PatchLayout {
  const [D, C, p] = weight.shape as [number, number, number, number];
  const images = x.shape.length === 4 && x.shape[1] === C,
    K = C * p * p;
  if (!sameShape(weight.shape, [D, C, p, p]) || (!images && (x.shape.length !== 3 || x.shape[2] !== K))) {
    throw new Error(`patchEmbed: expected x [B,C,H,W] or [B,P,C*p*p] and weight [D,C,p,p], got ${show(x.shape)} and ${show(weight.shape)}`);
  }
  if (!images) return { B: x.shape[0]!, P: x.shape[1]!, sizes: null };
  const [B, , H, W] = x.shape as [number, number, number, number];
  if (H % p !== 0 || W % p !== 0) throw new Error(`patchEmbed: expected sides that are multiples of ${p}, got ${show(x.shape)}`);
  const sizes = { C, H, W, p };
  return { B, P: patchesPerImage(sizes), sizes };
}

interface Attrs {
  readonly variant: GemmVariant | undefined;
}

const op = defineOp({
  name: "patchEmbed",

  // x, weight, bias, then position and the tokens in front, if there are any
  forward(
    [x, weight, bias, position, ...prefix]: readonly [Tensor, Tensor, Tensor | null, Tensor | null, ...Tensor[]],
    { variant }: Attrs,
  ) {
    const layout = patchLayout(x, weight),
      { B, P, sizes } = layout;
    const D = weight.shape[0]!;
    if (bias && !sameShape(bias.shape, [D]))
      throw new Error(`patchEmbed: expected bias [${D}] for weight ${show(weight.shape)}, got ${show(bias.shape)}`);
    for (const token of prefix)
      if (token.size === 0 || token.size % D !== 0) throw new Error(`patchEmbed: expected tokens [1,n,${D}], got ${show(token.shape)}`);
    const tokens = tokensOf(prefix, position, P, D),
      T = P + tokens.front;
    if (position && position.size !== T * D && position.size !== P * D)
      throw new Error(`patchEmbed: expected a position [1,${T},${D}] or [1,${P},${D}], got ${show(position.shape)}`);
    // Rows of patches are a plain product, which tensor cores can make: images of f16 are cut up for it.
    const rows = !sizes ? x : x.dtype === "f16" ? cutPatches(x, sizes) : null;
    const saved = { ...layout, tokens, rows };
    if (!rows) return { y: embedImages(x, weight, bias, position, prefix, { ...layout, tokens, variant }), saved };
    // Before the position is added, nothing is rounded to f16.
    const store = position ? "f32" : x.dtype;
    const { y } = dense({ tensor: rows }, weight, B * P, { shape: [B, P, D], bias: bias ?? undefined, store, variant });
    return { y: position ? placeTokens(y, position, prefix, tokens, x.dtype) : y, saved };
  },

  backward(dy, { sizes, B, P, tokens, rows }, [x, weight, bias, position, ...prefix], { variant }, needs) {
    const weighs = needs[1] === true || needs[2] === true;
    const { D, front } = tokens;
    const made = position && tokenGradients(dy, position, prefix, tokens, rows !== null && weighs);
    const row = front === 0 ? `i * ${D}u` : `(i / ${P}u * ${P + front}u + i % ${P}u + ${front}u) * ${D}u`;
    const map = { row, col: "i", fours: D % 4 === 0 };
    const own = position ? (made?.rows ?? null) : dy; // the patches' rows of dy
    const ownRows = { tensor: own ?? dy, ...(own && rows ? {} : { map: { ...map, row: map.col, col: map.row } }) };
    const patches = rows ? { tensor: rows } : { tensor: x, map: patchMap(sizes!) };
    const dW = weighs ? denseWeightGrad(ownRows, patches, weight, B * P, { sums: bias !== null, variant }) : null;
    const out = sizes ? { out: { map: patchMap(sizes), batch: [] } } : {};
    const dx = needs[0] ? denseInputGrad({ tensor: dy, map }, weight, B * P, { shape: x.shape, ...out, variant }).y : null;
    return [dx, dW?.y ?? null, dW?.sums ?? null, made?.dposition ?? null, ...(made?.prefix ?? prefix.map(() => null))];
  },
});

interface Embedding extends PatchLayout, Attrs {
  readonly tokens: Tokens;
}

/** The tokens of images, in one product that reads patches where they lie. */
function embedImages(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null,
  position: Tensor | null,
  prefix: readonly Tensor[],
  { B, P, sizes, tokens, variant }: Embedding,
): Tensor {
  const { D, front } = tokens,
    T = P + front;
  // A row for each token of the result; those in front multiply their image's first patch, and then become themselves.
  const placed = (row: number, at: string): string => `let token = m % ${T}u; ${tokenWgsl(tokens, row, at).join(" ")}`;
  const patch = front === 0 ? "i" : `i / ${T}u * ${P}u + max(i % ${T}u, ${front}u) - ${front}u`;
  return dense({ tensor: x, map: patchMap(sizes!, patch) }, weight, B * T, {
    shape: [B, T, D],
    bias: bias ?? undefined,
    variant,
    custom: position
      ? {
          code: placed(D, "n"),
          ...(D % 4 === 0 ? { fours: placed(D / 4, "n / 4u") } : {}),
          inputs: { position, ...Object.fromEntries(prefix.map((token, k) => [`prefix${k}`, token])) },
        }
      : undefined,
  }).y;
}

export interface PatchEmbedOptions {
  readonly variant?: GemmVariant | undefined;
}

/** x: [B, C, H, W] or its patches [B, P, C p p], weight: [D, C, p, p], bias: [D]. Returns [B, P, D], P = (H / p) (W / p). */
export const patchEmbed = (x: Tensor, weight: Tensor, bias: Tensor | null = null, { variant }: PatchEmbedOptions = {}): Tensor =>
  op([x, weight, bias, null], { variant });

/**
 * `patchEmbed` with the tokens `prefix` ([1, n, D] each) in front, plus a position for every token [1, T, D] or for the patches alone
 * [1, P, D]. Returns a transformer's first tokens, [B, T, D].
 */
export const patchTokens = (
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null,
  prefix: readonly Tensor[],
  position: Tensor,
  { variant }: PatchEmbedOptions = {},
): Tensor => op([x, weight, bias, position, ...prefix], { variant });

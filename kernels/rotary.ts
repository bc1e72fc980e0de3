/**
 * Rotary position embedding of self-attention's packed queries and keys: pairs of a head's channels turn by an angle of their token's place.
 *
 *   y[j] = x[j] cos - x[i] sin,   y[i] = x[i] cos + x[j] sin,   cos and sin of the pair's angle at this token
 *
 * (j, i) are neighbours (2 k, 2 k + 1), or with `half` the channels (k, k + D / 2). Values, and the tokens before the patches, stay as they
 * are. Backward is the rotation by the negative angle.
 *
 * Su et al. 2021, "RoFormer", https://arxiv.org/abs/2104.09864
 */
import { defineOp } from "../engine/autograd.ts";
import { defineKernel, kernelFamily } from "../engine/kernel.ts";
import { sameShape, show } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";
import { typeOf } from "./shared/width.ts";

const WG = 256;

// One thread per vector (or element) of y. Neighbours lie in one vector, halves of a head in two.
const kernel = kernelFamily(({ half, W }: { readonly half: boolean; readonly W: 1 | 4 }) => {
  const T = typeOf(W),
    angles = W === 4 && !half ? "vec2f" : T;
  const pair = (of: string) => (W === 4 && !half ? `${of}[k].xxyy` : `${of}[k]`);
  const other = half
    ? "let upper = j >= p.width / 2u; let k = place * (p.width / 2u) + j % (p.width / 2u); let other = x[select(i + p.width / 2u, i - p.width / 2u, upper)]; let side = select(-1.0, 1.0, upper);"
    : W === 4
      ? "let k = place * p.width + j; let other = x[i].yxwz; let side = vec4f(-1.0, 1.0, -1.0, 1.0);"
      : "let upper = j % 2u == 1u; let k = place * (p.width / 2u) + j / 2u; let other = x[select(i + 1u, i - 1u, upper)]; let side = select(-1.0, 1.0, upper);";
  return defineKernel({
    name: "rotary",
    inputs: { x: T, cos_: angles, sin_: angles }, // (B, N, 3 H D), (P, D / 2) of both
    outputs: { y: T },
    params: { n: "u32", row: "u32", turned: "u32", width: "u32", tokens: "u32", first: "u32", sign: "f32" }, // row, turned, width: vectors of a token, of its q and k, of a head
    workgroup: { upTo: WG },
    code: /* wgsl */ `
    let i = group * WG + li;
    if (i >= p.n) { return; }
    let token = i / p.row % p.tokens;
    if (token < p.first || i % p.row >= p.turned) { y[i] = x[i]; return; }
    let place = token - p.first;
    let j = i % p.width;
    ${other}
    y[i] = x[i] * ${pair("cos_")} + p.sign * side * other * ${pair("sin_")};`,
  });
});

interface Attrs {
  readonly heads: number;
  readonly half: boolean;
}

function turned(x: Tensor, cos: Tensor, sin: Tensor, { heads, half }: Attrs, sign: 1 | -1): Tensor {
  const [, N, width] = x.shape as [number, number, number];
  const D = width / (3 * heads);
  const W = D % (half ? 8 : 4) === 0 ? 4 : 1,
    n = x.size / W;
  const params = { n, row: width / W, turned: (2 * heads * D) / W, width: D / W, tokens: N, first: N - cos.shape[0]!, sign };
  return kernel({ half, W })({ inputs: { x, cos_: cos, sin_: sin }, outputs: { y: x }, params, threads: n }).y;
}

const op = defineOp({
  name: "rotary",
  forward([qkv, cos, sin]: [Tensor, Tensor, Tensor], attrs: Attrs) {
    const D = qkv.shape[2]! / (3 * attrs.heads);
    if (qkv.shape.length !== 3 || !Number.isInteger(attrs.heads) || attrs.heads < 1 || !Number.isInteger(D / 2))
      throw new Error(`rotary: expected qkv [B,N,3*${attrs.heads}*D] of an even D, got ${show(qkv.shape)}`);
    if (cos.shape[0]! > qkv.shape[1]! || !sameShape(cos.shape, [cos.shape[0]!, D / 2]) || !sameShape(sin.shape, cos.shape))
      throw new Error(
        `rotary: expected cos and sin [P,${D / 2}] of at most ${qkv.shape[1]} patches, got ${show(cos.shape)} and ${show(sin.shape)}`,
      );
    return { y: turned(qkv, cos, sin, attrs, 1), saved: null };
  },
  backward: (dy, _, [, cos, sin], attrs) => [turned(dy, cos, sin, attrs, -1), null, null],
});

export interface RotaryOptions {
  readonly heads: number;
  /** Pairs are channels half a head apart. Default: neighbours. */
  readonly half?: boolean;
}

/**
 * qkv: (B, N, 3 * H * D), its last axis laid out (3, H, D), as `attentionPacked` takes it; cos, sin: (P, D / 2), of each pair's angle at the
 * last P tokens. Returns qkv with queries and keys turned. No gradient reaches the angles.
 */
export const rotary = (qkv: Tensor, cos: Tensor, sin: Tensor, { heads, half = false }: RotaryOptions): Tensor =>
  op([qkv, cos, sin], { heads, half });

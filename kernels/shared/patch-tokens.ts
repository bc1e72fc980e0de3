/** What surrounds the product of `patchEmbed`: patches cut out of images, learned tokens in front, positions, and the gradients of both. */
import { defineKernel, kernelFamily, type Elem } from "../../engine/kernel.ts";
import type { DType, Tensor } from "../../engine/tensor.ts";
import { patchMap, patchShape, type PatchSizes } from "./patches.ts";
import { range } from "./unroll.ts";
import { typeOf, widthFor, type Width } from "./width.ts";

const WG = 64;

/** Tokens in front, by the tensor that holds them: from row `first` of an image on, `count` of them. */
interface Prefix {
  readonly first: number;
  readonly count: number;
}

/** WGSL of whether `token` is one of them, and of where its row begins in their tensor. */
const isOf = ({ first, count }: Prefix, token: string): string =>
  count === 1 ? `${token} == ${first}u` : `${token} >= ${first}u && ${token} < ${first + count}u`;
const rowOf = ({ first, count }: Prefix, D: number, token: string): string => (count === 1 ? "" : `(${token} - ${first}u) * ${D}u + `);

/** The tokens of an image: `patches` of them after the `front` ones of `prefix`, D wide. */
export interface Tokens {
  readonly prefix: readonly Prefix[];
  readonly front: number;
  /** Tokens at the front that the position leaves out. */
  readonly skip: number;
  readonly patches: number;
  readonly D: number;
}

/** prefix: (1, count, D) each; position: (1, T, D), or (1, patches, D) of the patches alone. */
export function tokensOf(prefix: readonly Tensor[], position: Tensor | null, patches: number, D: number): Tokens {
  let front = 0;
  const own = prefix.map(({ size }) => ({ first: (front += size / D) - size / D, count: size / D }));
  return { prefix: own, front, skip: position ? front + patches - position.size / D : 0, patches, D };
}

/** WGSL that makes `v`, element `d` of a patch, that of `token`: one in front becomes itself, and the position is added. D: a row's length. */
export const tokenWgsl = ({ prefix, skip }: Tokens, D: number, d: string): readonly [string, string] => [
  prefix.map((own, k) => `if (${isOf(own, "token")}) { v = prefix${k}[${rowOf(own, D, "token")}${d}]; }`).join(" "),
  skip === 0 ? `v += position[token * ${D}u + ${d}];` : `if (token >= ${skip}u) { v += position[(token - ${skip}u) * ${D}u + ${d}]; }`,
];

const prefixNames = (n: number): string[] => range(n).map((k) => `prefix${k}`);

// One thread per vector (or element) of a patch's row: neighbours along a row of pixels.
const cutKernel = kernelFamily(({ W, ...sizes }: PatchSizes & { readonly W: number; readonly vec: Width }) => {
  const T = typeOf(sizes.vec);
  const { row, col } = patchMap({ ...sizes, W });
  const through = (text: string, i: string) => text.replace(/\bi\b/g, i);
  const width = sizes.C * sizes.p * sizes.p;
  return defineKernel({
    name: "patchEmbed.cut",
    inputs: { x: T }, // (B, C, H, W)
    outputs: { rows: T }, // (B, P, C p p)
    params: { n: "u32" },
    workgroup: WG,
    code: /* wgsl */ `
    let at = group * WG + li;
    if (at < p.n) {
      let cut = at * ${sizes.vec}u / ${width}u; let k = at * ${sizes.vec}u % ${width}u;
      rows[at] = x[(${through(row, "cut")} + ${through(col, "k")}) / ${sizes.vec}u];
    }`,
  });
});

/** x: images (B, C, H, W). Returns their patches as rows, (B, P, C p p). */
export function cutPatches(x: Tensor, sizes: PatchSizes): Tensor {
  const vec = widthFor(sizes.p, sizes.W),
    n = x.size / vec;
  const shape = patchShape(x.shape[0]!, sizes);
  return cutKernel({ ...sizes, vec })({ inputs: { x }, outputs: { rows: { shape, dtype: x.dtype } }, params: { n }, threads: n }).rows;
}

// One thread per vector (or element) of the result.
const placeKernel = kernelFamily((tokens: Tokens & { readonly vec: Width }) => {
  const { prefix, front, patches, vec } = tokens;
  const T = typeOf(vec),
    D = tokens.D / vec;
  const names = prefixNames(prefix.length);
  return defineKernel({
    name: "patchEmbed.place",
    inputs: { embedded: T, position: T, ...Object.fromEntries(names.map((name) => [name, T])) } as Record<string, Elem>, // (B, P, D), (T - skip, D), (count, D) each
    outputs: { y: T }, // (B, T, D)
    params: { n: "u32" },
    workgroup: WG,
    code: /* wgsl */ `
    let i = group * WG + li;
    if (i < p.n) {
      let d = i % ${D}u; let token = i / ${D}u % ${front + patches}u; let image = i / ${D * (front + patches)}u;
      var v = embedded[(image * ${patches}u + max(token, ${front}u) - ${front}u) * ${D}u + d];
      ${tokenWgsl(tokens, D, "d").join("\n      ")}
      y[i] = v;
    }`,
  });
});

/** embedded: (B, P, D). Returns the tokens (B, T, D): those in front, then the patches', each with its position. */
export function placeTokens(embedded: Tensor, position: Tensor, prefix: readonly Tensor[], tokens: Tokens, dtype: DType): Tensor {
  const shape = [embedded.shape[0]!, tokens.front + tokens.patches, tokens.D];
  const vec = widthFor(tokens.D),
    n = (shape[0]! * shape[1]! * shape[2]!) / vec;
  const front = Object.fromEntries(prefix.map((t, k) => [`prefix${k}`, t]));
  return placeKernel({ ...tokens, vec })({
    inputs: { embedded, position, ...front },
    outputs: { y: { shape, dtype } },
    params: { n },
    threads: n,
  }).y;
}

// One thread per element of an image's tokens. Images in order.
const gradsKernel = kernelFamily(({ prefix, front, skip, patches, D }: Tokens) =>
  defineKernel({
    name: "patchEmbed.backwardTokens",
    inputs: { dy: "f32" }, // (B, T, D)
    outputs: { rows: "f32?", ...Object.fromEntries(["dposition", ...prefixNames(prefix.length)].map((name) => [name, "f32"])) } as Record<
      string,
      "f32" | "f32?"
    >, // (B, P, D); (T - skip, D), (count, D) each
    params: { B: "u32", D: "u32", n: "u32" },
    workgroup: WG,
    code: (_, has) => /* wgsl */ `
    let i = group * WG + li;
    if (i < p.n) {
      var s = 0.0;
      for (var b = 0u; b < p.B; b++) { ${
        has["rows"]
          ? `let d = dy[b * p.n + i]; s += d; if (i >= ${front * D}u) { rows[b * ${patches * D}u + i - ${front * D}u] = d; }`
          : "s += dy[b * p.n + i];"
      } }
      ${skip === 0 ? "dposition[i] = s;" : `if (i >= ${skip * D}u) { dposition[i - ${skip * D}u] = s; }`}
      ${prefix.map((own, k) => `if (${isOf(own, "i / p.D")}) { prefix${k}[${rowOf(own, D, "i / p.D")}i % p.D] = s; }`).join(" ")}
    }`,
  }),
);

/**
 * dy: (B, T, D). Returns the gradients of the position and of the tokens in front, and with `rows` also the patches' own rows of dy, (B, P,
 * D), which it copies on the way.
 */
export function tokenGradients(dy: Tensor, position: Tensor, prefix: readonly Tensor[], tokens: Tokens, rows: boolean) {
  const { patches, D } = tokens,
    B = dy.shape[0]!,
    n = dy.size / B;
  const names = prefixNames(prefix.length);
  const made: Readonly<Record<string, Tensor | null>> = gradsKernel(tokens)({
    inputs: { dy },
    outputs: {
      rows: rows ? { shape: [B, patches, D], dtype: dy.dtype } : null,
      dposition: position.shape,
      ...Object.fromEntries(prefix.map(({ shape }, k) => [names[k]!, shape])),
    },
    params: { B, D, n },
    threads: n,
  });
  return { rows: made["rows"] ?? null, dposition: made["dposition"]!, prefix: names.map((name) => made[name]!) };
}

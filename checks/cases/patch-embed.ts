import { gradients } from "../../engine/autograd.ts";
import { numel } from "../../engine/shape.ts";
import { readAll, Tensor } from "../../engine/tensor.ts";
import { patchEmbed, patchTokens } from "../../kernels/patch-embed.ts";
import { checkOp, refuses, uniform, type Case } from "../check.ts";
import { op } from "../op.ts";
import { GEMM_KINDS, GEMM_VARIANTS, needsOf } from "../gemm-variants.ts";
import { patchEmbedReference } from "../reference/matmul.ts";

export const ops = [
  op("patchEmbed", {
    inputs: { x: "[B,C,H,W]", weight: "[D,C,p,p]", bias: "[D]" },
    outputs: "y [B,H/p*W/p,D]",
    variants: GEMM_VARIANTS,
    run: ({ x, weight, bias }, _, variant) => patchEmbed(x, weight, bias, { variant }),
    reference: ({ x, weight, bias }, shapes) => {
      const [[B = 1, C = 1, H = 1, W = 1], [D = 1, , p = 1]] = [shapes.x, shapes.weight];
      return patchEmbedReference(B, C, H, W, D, p)(x, weight, bias);
    },
    macs: ({ B, C, H, W, D }) => B! * C! * H! * W! * D!,
    label: ({ B, H, W, D, p }) => `B${B} ${H}x${W} p${p} D${D}`,
    timed: [
      { sizes: "1x3x224x224x192x16", quick: true },
      { sizes: "64x3x224x224x192x16", on: "gpu" },
      { sizes: "64x3x224x224x768x16", on: "gpu" },
    ],
  }),
];

/** Images (2, 3, 6, 15) in the layout of patches of 3, and back. */
const PLACES = Int32Array.from({ length: 2 * 10 * 27 }, (_, i) => {
  const b = Math.floor(i / 270),
    patch = Math.floor(i / 27) % 10,
    k = i % 27;
  const [c, row, column] = [Math.floor(k / 9), 3 * Math.floor(patch / 5) + (Math.floor(k / 3) % 3), 3 * (patch % 5) + (k % 3)];
  return ((b * 3 + c) * 6 + row) * 15 + column;
});
const patchesOf = (images: ArrayLike<number>) => Float64Array.from(PLACES, (at) => images[at]!);
function imagesOf(patches: ArrayLike<number>): Float64Array {
  const images = new Float64Array(patches.length);
  PLACES.forEach((at, i) => void (images[at] = patches[i]!));
  return images;
}

const shapes = [
  { why: "one pixel", B: 1, C: 1, H: 1, W: 1, D: 1, p: 1 },
  { why: "odd everything, wider than high", B: 2, C: 3, H: 6, W: 15, D: 7, p: 3 },
  { why: "patches of one pixel", B: 2, C: 5, H: 3, W: 4, D: 6, p: 1 },
  { why: "CIFAR's size", B: 2, C: 3, H: 32, W: 32, D: 24, p: 4 },
  { why: "DeiT's patches", B: 1, C: 3, H: 32, W: 48, D: 40, p: 16 },
];

export const cases: Case[] = [
  ...shapes.flatMap(({ why, B, C, H, W, D, p }) =>
    GEMM_KINDS.map(
      (variant): Case => ({
        name: `patchEmbed: ${why} (${variant})`,
        ...needsOf(variant),
        run: () =>
          checkOp({
            inputs: [[B, C, H, W], [D, C, p, p], [D]],
            op: (x, w, b) => patchEmbed(x, w, b, { variant }),
            reference: patchEmbedReference(B, C, H, W, D, p),
            shape: [B, (H / p) * (W / p), D],
          }),
      }),
    ),
  ),
  ...GEMM_KINDS.flatMap((variant) =>
    [
      { prefix: 1, p: 3, D: 5, width: "that fills no vector" },
      { prefix: 2, p: 3, D: 5, width: "that fills no vector" },
      { prefix: 1, p: 4, D: 20, width: "of whole vectors" },
      { prefix: 2, p: 4, D: 20, width: "of whole vectors" },
    ].map(
      ({ prefix, p, D, width }): Case => ({
        name: `patchTokens: ${prefix} in front, a width ${width} (${variant})`,
        ...needsOf(variant),
        run: () =>
          checkOp({
            inputs: [[3, 2, 2 * p, 3 * p], [D, 2, p, p], [D], [1, 6 + prefix, D], ...Array.from({ length: prefix }, () => [1, 1, D])],
            op: (x, w, b, position, ...front) => patchTokens(x!, w!, b!, front, position!, { variant }),
            reference(x, w, b, position, ...front) {
              const y = patchEmbedReference(3, 2, 2 * p, 3 * p, D, p)(x!, w!, b);
              const T = 6 + prefix;
              return Float64Array.from({ length: 3 * T * D }, (_, i) => {
                const d = i % D,
                  t = Math.floor(i / D) % T,
                  image = Math.floor(i / D / T);
                return (t < prefix ? front[t]![d]! : y[(image * 6 + t - prefix) * D + d]!) + position![t * D + d]!;
              });
            },
            shape: [3, 6 + prefix, D],
          }),
      }),
    ),
  ),
  ...GEMM_KINDS.map(
    (variant): Case => ({
      name: `patchTokens: a class token and three registers in front, positions of the patches alone, no bias (${variant})`,
      ...needsOf(variant),
      run: () =>
        checkOp({
          inputs: [
            [3, 2, 6, 9],
            [5, 2, 3, 3],
            [1, 6, 5],
            [1, 1, 5],
            [1, 3, 5],
          ],
          op: (x, w, position, ...front) => patchTokens(x!, w!, null, front, position!, { variant }),
          reference(x, w, position, cls, registers) {
            const y = patchEmbedReference(3, 2, 6, 9, 5, 3)(x!, w!);
            return Float64Array.from({ length: 3 * 10 * 5 }, (_, i) => {
              const d = i % 5,
                t = Math.floor(i / 5) % 10,
                image = Math.floor(i / 50);
              return t === 0
                ? cls![d]!
                : t < 4
                  ? registers![(t - 1) * 5 + d]!
                  : y[(image * 6 + t - 4) * 5 + d]! + position![(t - 4) * 5 + d]!;
            });
          },
          shape: [3, 10, 5],
        }),
    }),
  ),
  ...GEMM_KINDS.map(
    (variant): Case => ({
      name: `patchEmbed: patches that come as such (${variant})`,
      ...needsOf(variant),
      run: () =>
        checkOp({
          inputs: [{ shape: [2, 10, 27], values: patchesOf(uniform(2 * 3 * 6 * 15, 1)) }, [7, 3, 3, 3], [7]],
          op: (x, w, b) => patchEmbed(x, w, b, { variant }),
          reference: (x, w, b) => patchEmbedReference(2, 3, 6, 15, 7, 3)(imagesOf(x!), w!, b),
          shape: [2, 10, 7],
        }),
    }),
  ),
  ...[1, 2].map(
    (prefix): Case => ({
      name: `patchTokens: ${prefix} in front of patches that come as such, the bits of images`,
      async run() {
        const images = uniform(2 * 3 * 6 * 15, 1);
        const rest = [[7, 3, 3, 3], [7], [1, 10 + prefix, 7], ...Array.from({ length: prefix }, () => [1, 1, 7])].map((shape, i) =>
          Tensor.from(uniform(numel(shape), i + 2), shape),
        );
        for (const t of rest) t.requiresGrad = true;
        const [weight, bias, position, ...front] = rest as [Tensor, Tensor, Tensor, ...Tensor[]];
        const [a, b] = await Promise.all(
          [Tensor.from(images, [2, 3, 6, 15]), Tensor.from(patchesOf(images), [2, 10, 27])].map(async (x) => {
            const y = patchTokens(x, weight, bias, front, position);
            return (await readAll([y, ...gradients(y, rest, Tensor.from(uniform(y.size, 9), y.shape))])).map(String);
          }),
        );
        for (const [i, text] of a!.entries())
          if (b![i] !== text) throw new Error(`${i === 0 ? "y" : `gradient ${i - 1}`}: expected the same bits, got others`);
      },
    }),
  ),
  {
    name: "patchTokens: refuses a position of other tokens",
    run: () =>
      refuses(
        () =>
          patchTokens(
            Tensor.zeros([1, 1, 4, 4]),
            Tensor.zeros([3, 1, 2, 2]),
            Tensor.zeros([3]),
            [Tensor.zeros([1, 1, 3])],
            Tensor.zeros([1, 6, 3]),
          ),
        /patchEmbed: expected a position \[1,5,3\] or \[1,4,3\], got \[1,6,3\]/,
      ),
  },
  {
    name: "patchEmbed: refuses sides that are no multiple of a patch",
    run: () =>
      refuses(
        () => patchEmbed(Tensor.zeros([1, 3, 8, 9]), Tensor.zeros([2, 3, 4, 4]), Tensor.zeros([2])),
        /patchEmbed: expected sides that are multiples of 4, got \[1,3,8,9\]/,
      ),
  },
  {
    name: "patchEmbed: refuses other channels",
    run: () =>
      refuses(
        () => patchEmbed(Tensor.zeros([1, 3, 8, 8]), Tensor.zeros([2, 1, 4, 4]), Tensor.zeros([2])),
        /patchEmbed: expected x \[B,C,H,W\] or \[B,P,C\*p\*p\] and weight \[D,C,p,p\], got \[1,3,8,8\] and \[2,1,4,4\]/,
      ),
  },
];

/** Resizing of bytes and of position embeddings. What Pillow and PyTorch give for the same inputs is in test/cases/resize.ts. */
import { z } from "zod";
import { numel } from "../../engine/shape.ts";
import { Tensor } from "../../engine/tensor.ts";
import { resizeBicubic } from "../../kernels/augment/resize-bicubic.ts";
import { resizePosEmbed } from "../../kernels/resize-pos-embed.ts";
import { checkOp, close, refuses, uniform, type Case } from "../check.ts";
import { attr, count, op } from "../op.ts";
import { resizeBicubicReference, resizePosEmbedReference } from "../reference/resize.ts";

export const ops = [
  op("resizeBicubic", {
    inputs: { x: { shape: "[H,W,C]", bytes: true } },
    outputs: "y [height,width,C] U8, Pillow's arithmetic",
    attrs: { height: count(), width: count() },
    run: ({ x }, attrs) => resizeBicubic(x, attrs),
    reference: ({ x }, shapes, { height, width }) => resizeBicubicReference(x, shapes.x, height, width),
    timed: [{ sizes: "256x256x3", attrs: { height: 224, width: 224 } }],
  }),
  op("resizePosEmbed", {
    inputs: { x: "[1,N,D]" },
    outputs: "y [1,prefix+height*width,D]",
    attrs: { prefix: attr(z.union([z.literal(1), z.literal(2)]), "1 or 2"), height: count(), width: count() },
    run: ({ x }, attrs) => resizePosEmbed(x, attrs),
    reference: ({ x }, shapes, { prefix, height, width }) => resizePosEmbedReference(x, shapes.x[2]!, prefix, height, width),
    timed: [{ sizes: "197x192", attrs: { prefix: 1, height: 24, width: 24 } }],
  }),
];

export const cases: Case[] = [
  ...[
    { why: "one of everything", prefix: 1, side: 1, D: 1, height: 1, width: 1 },
    { why: "a larger grid, not square", prefix: 1, side: 4, D: 5, height: 3, width: 7 },
    { why: "a smaller grid, both tokens", prefix: 2, side: 7, D: 67, height: 3, width: 3 },
  ].map(
    ({ why, prefix, side, D, height, width }): Case => ({
      name: `resizePosEmbed: ${why}`,
      run: () =>
        checkOp({
          inputs: [[1, prefix + side ** 2, D]],
          op: (x) => resizePosEmbed(x, { prefix, height, width }),
          reference: (x) => resizePosEmbedReference(x, D, prefix, height, width),
          shape: [1, prefix + height * width, D],
          tol: 1e-5,
        }),
    }),
  ),
  ...[
    { why: "one pixel to many", shape: [1, 1, 4], height: 3, width: 5 },
    { why: "smaller one way, larger the other", shape: [9, 12, 3], height: 5, width: 16 },
    { why: "the width stays", shape: [20, 8, 3], height: 7, width: 8 },
  ].map(
    ({ why, shape, height, width }): Case => ({
      name: `resizeBicubic: ${why}`,
      async run() {
        const x = Uint8Array.from(uniform(numel(shape), 1), (v) => Math.floor((v + 1) * 128));
        const y = resizeBicubic(Tensor.from(x, shape, "u8"), { height, width });
        const [found, expected] = [await y.read(), resizeBicubicReference(Float64Array.from(x), shape, height, width)];
        if (found.length !== expected.length) throw new Error(`y: expected ${expected.length} bytes, got ${found.length}`);
        expected.forEach((v, i) => close(`y[${i}]`, found[i]!, v, 0));
      },
    }),
  ),
  {
    name: "resizeBicubic: refuses floats",
    run: () =>
      refuses(
        () => resizeBicubic(Tensor.zeros([2, 2, 3]), { height: 1, width: 1 }),
        /resizeBicubic: expected u8 \[H,W,C\], got f32 \[2,2,3\]/,
      ),
  },
];

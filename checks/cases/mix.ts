import { z } from "zod";
import { record } from "../../engine/plan.ts";
import { constant, Scalars } from "../../kernels/shared/scalars.ts";
import { numel, show } from "../../engine/shape.ts";
import { Tensor } from "../../engine/tensor.ts";
import { cutmix, mixTargets, mixup } from "../../kernels/mix.ts";
import { normalizeImages } from "../../kernels/augment/normalize.ts";
import { checkOp, close, refuses, uniform, type Case } from "../check.ts";
import { attr, fraction, op } from "../op.ts";
import { cutmixReference, mixupReference, normalizeReference, targetsReference } from "../reference/mix.ts";

const edge = z.int().min(0);

export const ops = [
  op("mixup", {
    inputs: { x: "[B,C,H,W]" },
    outputs: "y [B,C,H,W], each image mixed with its partner in the reversed batch",
    attrs: { lam: fraction() },
    run: ({ x }, { lam }) => mixup(x, { lam: constant(lam) }),
    reference: ({ x }, shapes, { lam }) => mixupReference(shapes.x[0]!, Math.fround(lam))(x),
    timed: [
      { sizes: "64x3x32x32", attrs: { lam: 0.3 } },
      { sizes: "256x3x224x224", attrs: { lam: 0.3 }, on: "gpu" },
    ],
  }),
  op("cutmix", {
    inputs: { x: "[B,C,H,W]" },
    outputs: "y [B,C,H,W], the box from the partner in the reversed batch",
    attrs: {
      box: attr<readonly [number, number, number, number]>(z.tuple([edge, edge, edge, edge]), "[y0, y1, x0, x1], integers from 0 on"),
    },
    run({ x }, { box: [y0, y1, x0, x1] }) {
      const [, , H = 0, W = 0] = x.shape;
      if (y0 > y1 || y1 > H || x0 > x1 || x1 > W)
        throw new Error(`cutmix: expected a box within ${H} x ${W}, got [${[y0, y1, x0, x1]}] for x ${show(x.shape)}`);
      return cutmix(x, { box: boxOf([y0, y1, x0, x1]) });
    },
    reference: ({ x }, shapes, { box }) => cutmixReference(shapes.x, box)(x),
    timed: [
      { sizes: "64x3x32x32", attrs: { box: [4, 20, 8, 24] } },
      { sizes: "256x3x224x224", attrs: { box: [28, 140, 56, 168] }, on: "gpu" },
    ],
  }),
];

const IMAGENET = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };

/** A box behind another number, as in a step's scalars. */
const boxOf = (box: readonly number[]) => ({ tensor: Tensor.from([7, ...box], [5], "u32"), at: 1 });

async function near(what: string, y: Tensor, expected: readonly number[], tol: number): Promise<void> {
  const got = await y.floats();
  if (got.length !== expected.length) throw new Error(`${what}: expected ${expected.length} values, got ${got.length}`);
  expected.forEach((v, i) => close(`${what}[${i}]`, got[i]!, v, tol));
}

const bytes = (n: number): Uint8Array => Uint8Array.from(uniform(n, 5), (v) => Math.floor((v + 1) * 128));

export const cases: Case[] = [
  ...[
    { why: "an odd batch, whose middle is its own partner; images of no whole vectors", shape: [3, 3, 5, 7], lam: 0.3 },
    { why: "rows of whole vectors, just over a workgroup", shape: [4, 65], lam: 0.7 },
    { why: "images of whole vectors", shape: [2, 3, 8, 8], lam: 0.25 },
    { why: "one image", shape: [1, 6], lam: 0.4 },
    { why: "all of the partner", shape: [2, 5], lam: 0 },
  ].map(({ why, shape, lam }) => ({
    name: `mixup: ${why}`,
    run: () =>
      checkOp({
        inputs: [shape],
        op: (x) => mixup(x, { lam: constant(lam) }),
        reference: mixupReference(shape[0]!, Math.fround(lam)),
        shape,
        tol: 1e-6,
      }),
  })),
  {
    name: "mixup: a share of 1 leaves every bit",
    async run() {
      const x = uniform(4 * 27, 1);
      await near("y", mixup(Tensor.from(x, [4, 27]), { lam: constant(1) }), [...x], 0);
    },
  },
  {
    name: "mixup: a recording follows the share",
    async run() {
      const scalars = new Scalars({ other: "u32", lam: "f32" });
      const x = Tensor.from([1, 2, 3, 4], [2, 2]);
      const plan = await record(() => mixup(x, { lam: scalars.at("lam") }));
      for (const [lam, expected] of [
        [1, [1, 2, 3, 4]],
        [0.5, [2, 3, 2, 3]],
        [0.25, [2.5, 3.5, 1.5, 2.5]],
      ] as const) {
        scalars.set({ lam });
        plan.run();
        await near(`share ${lam}`, plan.result, expected, 0);
      }
      plan.dispose();
    },
  },
  {
    name: "mixup: refuses a tensor without a batch",
    run: () => refuses(() => mixup(constant(1).tensor.view([]), { lam: constant(1) }), /mixup: expected \[B,..\], got \[\]/),
  },
  ...[
    { why: "a box inside, in an odd batch", shape: [3, 2, 5, 7], box: [1, 4, 2, 5] },
    { why: "one pixel in the last corner", shape: [2, 3, 4, 4], box: [3, 4, 3, 4] },
    { why: "the whole image", shape: [4, 1, 5, 6], box: [0, 5, 0, 6] },
    { why: "no box", shape: [4, 1, 5, 6], box: [0, 0, 0, 0] },
    { why: "an empty box at the edge, one row only", shape: [2, 3, 1, 9], box: [0, 1, 9, 9] },
    { why: "a tall box at CIFAR's size", shape: [4, 3, 32, 32], box: [0, 32, 7, 20] },
  ].map(({ why, shape, box }) => ({
    name: `cutmix: ${why}`,
    run: () =>
      checkOp({ inputs: [shape], op: (x) => cutmix(x, { box: boxOf(box) }), reference: cutmixReference(shape, box), shape, tol: 1e-6 }),
  })),
  {
    name: "cutmix: refuses rows without images, and a box that is cut short",
    async run() {
      await refuses(() => cutmix(Tensor.zeros([2, 3, 4]), { box: boxOf([0, 1, 0, 1]) }), /cutmix: expected \[B,C,H,W\], got \[2,3,4\]/);
      await refuses(
        () => cutmix(Tensor.zeros([2, 3, 4, 4]), { box: constant(0, "u32") }),
        /cutmix: expected a box of four numbers from 0 on, got a tensor of 1/,
      );
    },
  },
  ...[
    { why: "more than a workgroup, without smoothing", labels: [0, 66, 3, 3, 65], classes: 67, lam: 0.8, smoothing: 0 },
    { why: "ImageNet's classes", labels: [999, 0], classes: 1000, lam: 0.5, smoothing: 0.1 },
    { why: "one image", labels: [1], classes: 2, lam: 0.1, smoothing: 0.2 },
  ].map(({ why, labels, classes, lam, smoothing }) => ({
    name: `mixTargets: ${why}`,
    run: () =>
      near(
        "targets",
        mixTargets(Tensor.from(labels, [labels.length], "u32"), { classes, lam: constant(lam), smoothing }),
        targetsReference(labels, classes, Math.fround(lam), smoothing),
        2e-7,
      ),
  })),
  {
    name: "mixTargets: refuses labels of another kind, no classes and too much smoothing",
    async run() {
      const o = { classes: 4, lam: constant(1), smoothing: 0 };
      await refuses(() => mixTargets(Tensor.zeros([2]), o), /mixTargets: expected u32 labels \[B\], got f32 \[2\]/);
      await refuses(() => mixTargets(Tensor.zeros([2], "u32"), { ...o, classes: 0 }), /positive number of classes, got 0/);
      await refuses(() => mixTargets(Tensor.zeros([2], "u32"), { ...o, smoothing: 1.1 }), /smoothing in \[0, 1\], got 1.1/);
    },
  },
  ...[
    { why: "CIFAR's size", shape: [2, 3, 32, 32], ...IMAGENET },
    { why: "words that hold two channels", shape: [4, 3, 3, 3], ...IMAGENET },
    { why: "one pixel: words that hold two images", shape: [4, 3, 1, 1], ...IMAGENET },
    { why: "one channel, round numbers", shape: [1, 1, 4, 67], mean: [0], std: [1] },
  ].map(({ why, shape, mean, std }) => ({
    name: `normalizeImages: ${why}`,
    run: () =>
      near(
        "y",
        normalizeImages(Tensor.from(bytes(numel(shape)), shape, "u8"), { mean, std }),
        normalizeReference(shape, bytes(numel(shape)), mean, std),
        1e-6,
      ),
  })),
  {
    name: "normalizeImages: refuses floats, channels without a mean, and broken words",
    async run() {
      await refuses(
        () => normalizeImages(Tensor.zeros([2, 3, 2, 2]), IMAGENET),
        /normalizeImages: expected u8 images \[B,C,H,W\], got f32 \[2,3,2,2\]/,
      );
      await refuses(() => normalizeImages(Tensor.zeros([2, 4, 2, 2], "u8"), IMAGENET), /expected 4 means and 4 positive deviations/);
      await refuses(() => normalizeImages(Tensor.zeros([2, 3, 2, 2], "u8"), { ...IMAGENET, std: [1, 0, 1] }), /positive deviations/);
      await refuses(
        () => normalizeImages(Tensor.zeros([1, 3, 3, 3], "u8"), IMAGENET),
        /expected a multiple of 4 bytes, got 27 in \[1,3,3,3\]/,
      );
    },
  },
];

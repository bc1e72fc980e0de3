/** Binary cross-entropy, and the distances between a student's features and its teacher's. */
import { z } from "zod";
import { gradients } from "../../engine/autograd.ts";
import { Tensor } from "../../engine/tensor.ts";
import { binaryCrossEntropy } from "../../kernels/binary-cross-entropy.ts";
import { cosineLoss } from "../../kernels/cosine-loss.ts";
import { smoothL1Loss } from "../../kernels/smooth-l1-loss.ts";
import { checkOp, close, refuses, uniform, type Case } from "../check.ts";
import { attr, fraction, op, positive } from "../op.ts";
import { opCases } from "../op-cases.ts";
import { binaryReference, cosineReference, smoothed, smoothL1Reference } from "../reference/losses.ts";
import { rowKernels, someVariants } from "../row-variants.ts";

const binary = op("binaryCrossEntropy", {
  inputs: {
    logits: "[B,K]",
    target: { shape: "[B,K] in [0, 1], or", optional: true, probabilities: true, buffer: true },
    labels: { shape: "[B]", optional: true, classesOf: "logits" },
  },
  outputs: "y [] (mean over batch and classes)",
  attrs: { labelSmoothing: fraction(0), threshold: attr(z.nullable(z.number()), "a number or null", null) },
  run({ logits, target, labels }, attrs) {
    if (!target === !labels) throw new Error(`binaryCrossEntropy: expected either target or labels, got ${target ? "both" : "neither"}`);
    return binaryCrossEntropy(logits, (target ?? labels)!, attrs);
  },
  reference: ({ logits, target }, _, { threshold }) => binaryReference(threshold)(logits, target),
  timedWith: ["target"],
  timed: [{ sizes: "64x1000" }, { sizes: "2048x1000", on: "gpu" }],
});

const cosine = op("cosineLoss", {
  inputs: { x: "[..,D]", target: { shape: "[..,D]", buffer: true } },
  outputs: "y [] (mean over the rows)",
  attrs: { eps: positive(1e-8) },
  ...rowKernels("D"),
  run: ({ x, target }, { eps }, variant) => cosineLoss(x, target, { eps, variant }),
  reference: ({ x, target }, shapes) => cosineReference(shapes.x.at(-1)!)(x, target),
  timed: [{ sizes: "784x192" }, { sizes: "12544x768", on: "gpu" }],
});

const smooth = op("smoothL1Loss", {
  inputs: { x: "[..,D]", target: { shape: "[..,D]", buffer: true } },
  outputs: "y [] (mean over all elements)",
  attrs: { beta: positive(1) },
  run: ({ x, target }, attrs) => smoothL1Loss(x, target, attrs),
  reference: ({ x, target }, _, { beta }) => smoothL1Reference(beta)(x, target),
  timed: [{ sizes: "784x192" }, { sizes: "12544x768", on: "gpu" }],
});

export const ops = [binary, cosine, smooth];

const spread = (shape: readonly number[], by: number, seed: number) => ({
  shape,
  values: uniform(
    shape.reduce((a, b) => a * b, 1),
    seed,
  ).map((v) => Math.fround(by * v)),
});
const labels = (values: readonly number[], dtype: "u32" | "i32" = "u32") => Tensor.from(values, [values.length], dtype);
const some = (B: number, K: number): number[] => Array.from({ length: B }, (_, b) => (b * 7 + 3) % K);

export const cases: Case[] = [
  ...opCases(binary, {
    "one logit": "1x1",
    "a prime number of them": "5x7",
    "more than a thread's share": "3x65",
    "ImageNet's classes": "2x1000",
  }),
  ...[0, 0.2, 0.5].map((threshold) => ({
    name: `binaryCrossEntropy: targets above ${threshold} count whole`,
    run: () => {
      // Mixed labels: two classes with their shares, all others 0.
      const target = Float32Array.from({ length: 4 * 10 }, (_, i) => [0.3, 0, 0, 0.7, 0, 0, 0, 0, 0, 0][i % 10]!);
      return checkOp({
        inputs: [spread([4, 10], 6, 1)],
        op: (x) => binaryCrossEntropy(x, Tensor.from(target, [4, 10]), { threshold }),
        reference: (x) => binaryReference(threshold)(x!, Float64Array.from(target)),
        shape: [],
        tol: 2e-6,
      });
    },
  })),
  ...(["u32", "i32"] as const).flatMap((dtype) =>
    [0, 0.1].map((labelSmoothing) => ({
      name: `binaryCrossEntropy: ${dtype} labels, smoothing ${labelSmoothing}`,
      run: () =>
        checkOp({
          inputs: [spread([5, 7], 4, 1)],
          op: (x) => binaryCrossEntropy(x, labels(some(5, 7), dtype), { labelSmoothing }),
          reference: (x) => binaryReference()(x!, smoothed(7, some(5, 7), labelSmoothing)),
          shape: [],
          tol: 2e-6,
        }),
    })),
  ),
  {
    name: "binaryCrossEntropy: far from 0 neither loss nor gradient is lost or infinite",
    async run() {
      const x = Tensor.from([-20, 20, -200, 200], [4, 1]);
      x.requiresGrad = true;
      const loss = binaryCrossEntropy(x, labels([1, 0, 1, 0])); // K = 1: class 0 is true at 2nd and 4th
      close("loss", (await loss.item()) / ((2 * Math.log1p(Math.exp(-20))) / 4), 1, 1e-5);
      const dx = await gradients(loss, [x])[0]!.floats();
      [2.0611536e-9 / 4, -2.0611536e-9 / 4, 0, 0].forEach((v, i) => close(`dx[${i}]`, dx[i]!, v, 6e-8));
    },
  },
  {
    name: "binaryCrossEntropy: refuses what does not fit",
    async run() {
      const z = Tensor.zeros([2, 3]);
      await refuses(
        () => binaryCrossEntropy(z, Tensor.zeros([2, 4])),
        /binaryCrossEntropy: expected targets \[2,3\] or u32 or i32 labels \[2\] for logits \[2,3\], got f32 \[2,4\]/,
      );
      await refuses(() => binaryCrossEntropy(z, labels([1, 2, 0])), /got u32 \[3\]/);
      await refuses(() => binaryCrossEntropy(z, labels([1, 2]), { labelSmoothing: 2 }), /labelSmoothing in \[0, 1\], got 2/);
      await refuses(() => binaryCrossEntropy(z, labels([1, 2]), { threshold: NaN }), /a threshold of a number or null, got NaN/);
    },
  },
  ...opCases(
    cosine,
    { "one row": "1x4", "an odd width": "7x5", "a student's patches": "2x9x65", "more rows than a workgroup": "67x8" },
    ({ D }) => someVariants(D!),
  ),
  {
    name: "cosineLoss: 0 for rows of one direction, 2 for opposite ones, a row of zeros counts 1 and has no infinite gradient",
    async run() {
      const x = Tensor.from([1, 2, 3, -1, -2, -3, 0, 0, 0], [3, 3]);
      x.requiresGrad = true;
      const loss = cosineLoss(x, Tensor.from([2, 4, 6, 2, 4, 6, 2, 4, 6], [3, 3]));
      close("loss", await loss.item(), 1, 1e-6);
      const dx = await gradients(loss, [x])[0]!.floats();
      dx.subarray(0, 6).forEach((v, i) => close(`dx[${i}]`, v, 0, 1e-6));
      if (!dx.every(Number.isFinite)) throw new Error(`expected finite gradients, got ${[...dx]}`);
    },
  },
  ...opCases(smooth, { "one element": "1x1", "an odd number": "7x5", "a student's patches": "2x9x65" }),
  ...[0.1, 1, 3].map((beta) => ({
    name: `smoothL1Loss: both sides of beta ${beta}`,
    run: () =>
      checkOp({
        inputs: [spread([6, 50], 4, 1), spread([6, 50], 4, 2)],
        op: (x, t) => smoothL1Loss(x, t, { beta }),
        reference: smoothL1Reference(beta),
        shape: [],
        grads: [0],
      }),
  })),
  {
    name: "cosineLoss, smoothL1Loss: refuse unlike shapes, a target with a gradient, a beta of 0",
    async run() {
      const [x, t] = [Tensor.zeros([2, 3]), Tensor.zeros([2, 3])];
      await refuses(() => cosineLoss(x, Tensor.zeros([3, 2])), /cosineLoss: expected x and target \[..,D\] alike/);
      await refuses(() => smoothL1Loss(x, Tensor.zeros([3, 2])), /smoothL1Loss: expected x and target alike/);
      await refuses(() => smoothL1Loss(x, t, { beta: 0 }), /smoothL1Loss: expected beta above 0, got 0/);
      t.requiresGrad = true;
      await refuses(() => cosineLoss(x, t), /without gradient, got \[2,3\] and \[2,3\] with/);
      await refuses(() => smoothL1Loss(x, t), /without gradient, got \[2,3\] and \[2,3\] with/);
    },
  },
];

import { gradients } from "../../engine/autograd.ts";
import { Tensor } from "../../engine/tensor.ts";
import { crossEntropy } from "../../kernels/cross-entropy.ts";
import { klDistillation } from "../../kernels/kl-distillation.ts";
import { argmax, countCorrect } from "../../kernels/rows/argmax.ts";
import { checkOp, close, refuses, uniform, type Case } from "../check.ts";
import { andOnGpu } from "../on-a-gpu.ts";
import { choice, fraction, op, positive } from "../op.ts";
import { rowKernels, someVariants } from "../row-variants.ts";
import { klReference, labelCrossEntropy, softCrossEntropy } from "../reference/losses.ts";

export const ops = [
  op("crossEntropy", {
    inputs: {
      logits: "[B,K]",
      target: { shape: "[B,K] probabilities, or", optional: true, probabilities: true },
      labels: { shape: "[B]", optional: true, classesOf: "logits" },
    },
    outputs: "y [] (mean over the batch)",
    attrs: { labelSmoothing: fraction(0) },
    ...rowKernels("K"),
    run({ logits, target, labels }, { labelSmoothing }, variant) {
      if (!target === !labels) throw new Error(`crossEntropy: expected either target or labels, got ${target ? "both" : "neither"}`);
      return crossEntropy(logits, target ?? labels, { labelSmoothing, variant });
    },
    reference: ({ logits, target }, shapes, { labelSmoothing }) => softCrossEntropy(shapes.logits[1]!, labelSmoothing)(logits, target),
    timedWith: ["target"],
    timed: [{ sizes: "64x1000" }, { sizes: "1024x1000", on: "gpu" }],
  }),
  op("klDistillation", {
    inputs: { student: "[B,K]", teacher: "[B,K]" },
    outputs: "y []",
    attrs: { tau: positive(1), reduction: choice(["numel", "batchmean"]) },
    ...rowKernels("K"),
    run: ({ student, teacher }, attrs, variant) => klDistillation(student, teacher, { ...attrs, variant }),
    reference: ({ student, teacher }, shapes, { tau, reduction }) => klReference(shapes.student[1]!, teacher, tau, reduction)(student),
    timed: [{ sizes: "64x1000" }, { sizes: "1024x1000", on: "gpu" }],
  }),
];

const TOL = 2e-6;
const zeros = (...shape: number[]) => Tensor.zeros(shape);
const labels = (values: readonly number[], dtype: "u32" | "i32" = "u32") => Tensor.from(values, [values.length], dtype);
const spread = (shape: [number, number], by: number, seed: number) => ({
  shape,
  values: uniform(shape[0] * shape[1], seed).map((v) => Math.fround(by * v)),
});
const some = (B: number, K: number): number[] => Array.from({ length: B }, (_, b) => (b * 7 + 3) % K);

async function equal(what: string, got: Tensor, expected: readonly number[]): Promise<void> {
  const values = [...(await got.read())];
  if (String(values) !== String(expected)) throw new Error(`${what}: expected ${expected}, got ${values}`);
}

function near(what: string, got: ArrayLike<number>, expected: readonly number[], tol = TOL): void {
  if (got.length !== expected.length) throw new Error(`${what}: expected ${expected.length} values, got ${got.length}`);
  expected.forEach((v, i) => close(`${what}[${i}]`, got[i]!, v, tol * (1 + Math.abs(v))));
}

export const cases: Case[] = [
  ...[
    { why: "one row, two classes", B: 1, K: 2 },
    { why: "one class: no loss", B: 3, K: 1 },
    { why: "an odd batch, a prime number of classes", B: 5, K: 7 },
    { why: "one class more than a workgroup", B: 3, K: 65 },
    { why: "ImageNet's classes", B: 2, K: 1000 },
    { why: "more rows than a workgroup", B: 67, K: 3 },
  ].flatMap(({ why, B, K }) =>
    someVariants(K).flatMap((variant) =>
      [0, 0.1].map((labelSmoothing) => ({
        name: `crossEntropy (${variant}): labels, smoothing ${labelSmoothing}: ${why}`,
        run: () =>
          checkOp({
            inputs: [spread([B, K], 4, 1)],
            op: (z) => crossEntropy(z, labels(some(B, K)), { labelSmoothing, variant }),
            reference: labelCrossEntropy(K, some(B, K), labelSmoothing),
            shape: [],
            tol: TOL,
          }),
      })),
    ),
  ),
  ...[
    [67, 0],
    [67, 0.2],
    [68, 0.2],
    [66, 0.2],
  ].flatMap(([K = 0, labelSmoothing = 0]) =>
    someVariants(K).map((variant) => ({
      name: `crossEntropy (${variant}): targets of any sum, gradients of both, ${K} classes, smoothing ${labelSmoothing}`,
      run: () =>
        checkOp({
          inputs: [spread([5, K], 4, 1), [5, K]],
          op: (z, t) => crossEntropy(z, t, { labelSmoothing, variant }),
          reference: softCrossEntropy(K, labelSmoothing),
          shape: [],
          tol: 5e-6,
        }),
    })),
  ),
  {
    name: "crossEntropy: logits far apart and far from 0",
    run: () =>
      checkOp({
        inputs: [{ shape: [3, 4], values: [1000, 999, -1000, 998, -1000, -1001, -1002, -999, 80, -90, 0, 88] }],
        op: (z) => crossEntropy(z, labels([1, 3, 1])),
        reference: labelCrossEntropy(4, [1, 3, 1]),
        tol: TOL,
      }),
  },
  {
    name: "crossEntropy: i32 labels give what u32 labels give",
    async run() {
      const z = Tensor.from(uniform(15, 1), [3, 5]);
      near("loss", await crossEntropy(z, labels([4, 0, 2], "i32")).floats(), [...(await crossEntropy(z, labels([4, 0, 2])).floats())], 0);
    },
  },
  {
    name: "crossEntropy: a label that is no class adds nothing and reads nothing",
    async run() {
      const z = Tensor.from(uniform(10, 1), [2, 5]);
      z.requiresGrad = true;
      const one = crossEntropy(Tensor.from(uniform(10, 1).subarray(0, 5), [1, 5]), labels([3]));
      for (const y of [labels([3, 5]), labels([3, -1], "i32"), labels([3, 0xffffffff])]) {
        const loss = crossEntropy(z, y);
        near("loss", await loss.floats(), [(await one.item()) / 2]);
        near("gradient", (await gradients(loss, [z])[0]!.floats()).subarray(5), [0, 0, 0, 0, 0]);
      }
    },
  },
  {
    name: "crossEntropy: refuses targets that do not fit",
    async run() {
      await refuses(
        () => crossEntropy(zeros(2, 3), zeros(2, 4)),
        /crossEntropy: expected f32 probabilities \[2,3\] or u32 or i32 labels \[2\] for logits \[2,3\], got f32 \[2,4\]/,
      );
      await refuses(() => crossEntropy(zeros(2, 3), labels([1, 2, 0])), /got u32 \[3\]/);
      await refuses(() => crossEntropy(zeros(2, 3, 1), labels([1, 2])), /crossEntropy: expected logits \[B,K\], got \[2,3,1\]/);
      await refuses(() => crossEntropy(zeros(2, 3), labels([1, 2]), { labelSmoothing: 1.5 }), /labelSmoothing in \[0, 1\], got 1.5/);
    },
  },
  ...[
    { why: "one row", B: 1, K: 4, tau: 1, reduction: "numel" as const },
    { why: "one class: no loss", B: 3, K: 1, tau: 2, reduction: "numel" as const },
    { why: "a high temperature, one class more than a workgroup", B: 3, K: 65, tau: 20, reduction: "numel" as const },
    { why: "the textbook's divisor, more rows than a workgroup", B: 67, K: 5, tau: 3, reduction: "batchmean" as const },
    { why: "a low temperature, ImageNet's classes", B: 2, K: 1000, tau: 0.5, reduction: "batchmean" as const },
  ].flatMap(({ why, B, K, tau, reduction }) =>
    someVariants(K).map((variant) => {
      const teacher = spread([B, K], 4, 9);
      return {
        name: `klDistillation (${variant}): ${why}`,
        run: () =>
          checkOp({
            inputs: [spread([B, K], 4, 1), teacher],
            op: (s, t) => klDistillation(s, t, { tau, reduction, variant }),
            reference: (s, t) => klReference(K, t!, tau, reduction)(s!),
            shape: [],
            tol: 5e-6,
          }),
      };
    }),
  ),
  {
    name: "klDistillation: logits far from 0, and no loss where both agree",
    run: () =>
      checkOp({
        inputs: [{ shape: [2, 3], values: [1000, 998, 1001, -500, -501, -502] }],
        op: (s) => klDistillation(s, Tensor.from([0, 1, -1, 2, 1, 0], [2, 3])),
        reference: klReference(3, Float64Array.of(0, 1, -1, 2, 1, 0), 1, "numel"),
        tol: TOL,
      }),
  },
  {
    name: "klDistillation: refuses unlike shapes and a temperature of 0",
    async run() {
      await refuses(
        () => klDistillation(zeros(2, 3), zeros(2, 4)),
        /klDistillation: expected student and teacher \[B,K\] alike, got \[2,3\] and \[2,4\]/,
      );
      await refuses(() => klDistillation(zeros(2, 3), zeros(2, 3), { tau: 0 }), /tau above 0, got 0/);
      await refuses(
        () => klDistillation(zeros(2, 3), zeros(2, 3), { reduction: "mean" as "numel" }),
        /reduction "numel" or "batchmean", got "mean"/,
      );
    },
  },
  ...andOnGpu([
    {
      name: "argmax: the first of equals, in any thread's share",
      async run() {
        const row = (at: readonly number[]) => Array.from({ length: 150 }, (_, k) => (at.includes(k) ? 5 : -k));
        await equal(
          "of 150",
          argmax(Tensor.from([...row([70, 6, 134]), ...row([149]), ...row([64, 65]), ...row([64, 37]), ...row([])], [5, 150])),
          [6, 149, 64, 37, 0],
        );
        await equal("of equals", argmax(Tensor.from(new Array(70).fill(-1e30), [1, 70])), [0]);
        await equal("of one", argmax(Tensor.from([3, -4], [2, 1])), [0, 0]);
        const y = argmax(Tensor.from([1, 2, 4, 3, 0, -1], [1, 2, 3]));
        if (String(y.shape) !== "1,2") throw new Error(`shape: expected [1,2], got [${y.shape}]`);
        await equal("of rows", y, [2, 0]);
      },
    },
    {
      name: "argmax: all of ImageNet's classes can win",
      async run() {
        const expected = Array.from({ length: 40 }, (_, b) => (b * 77 + 13) % 1000);
        const x = new Float32Array(40 * 1000).map((_, i) => (i % 1000 === expected[Math.floor(i / 1000)] ? 1 : Math.sin(i) / 2));
        await equal("classes", argmax(Tensor.from(x, [40, 1000])), expected);
      },
    },
  ]),
  {
    name: "countCorrect: more rows than a workgroup, both kinds of labels",
    async run() {
      const B = 131,
        K = 3;
      const logits = Tensor.from(
        Array.from({ length: B * K }, (_, i) => (i % K === Math.floor(i / K) % K ? 1 : 0)),
        [B, K],
      );
      const y = Array.from({ length: B }, (_, b) => (b % 5 === 0 ? (b + 1) % K : b % K));
      for (const dtype of ["u32", "i32"] as const) await equal(dtype, countCorrect(logits, labels(y, dtype)), [B - 27]);
      await equal("no class", countCorrect(logits, labels(y.map(() => 7))), [0]);
    },
  },
  {
    name: "countCorrect: refuses labels of another batch",
    run: () =>
      refuses(
        () => countCorrect(zeros(2, 3), labels([1])),
        /countCorrect: expected logits \[B,K\] and u32 or i32 labels \[B\], got \[2,3\] and u32 \[1\]/,
      ),
  },
];

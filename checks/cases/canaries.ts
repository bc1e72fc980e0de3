/**
 * Kernels whose tests do not go through `checkOp`, in memory with canaries behind each tensor: nothing written or read past an end, and
 * the same bits as in the pool's memory. Sizes that fill no workgroup.
 */
import { gradients, noGrad } from "../../engine/autograd.ts";
import { scope } from "../../engine/memory.ts";
import { place } from "../../kernels/shared/place.ts";
import { readAll, Tensor, type DType } from "../../engine/tensor.ts";
import { accumulate } from "../../kernels/optim/accumulate.ts";
import { addParts } from "../../kernels/shared/add-parts.ts";
import { joinSums } from "../../kernels/shared/joined-sums.ts";
import { adamwStep } from "../../kernels/optim/adamw.ts";
import { argmax, countCorrect } from "../../kernels/rows/argmax.ts";
import { cast } from "../../kernels/cast.ts";
import { convNorm } from "../../kernels/conv2d.ts";
import { crossEntropy } from "../../kernels/cross-entropy.ts";
import { dropPathFactors } from "../../kernels/drop-path.ts";
import { add } from "../../kernels/elementwise.ts";
import { emaStep } from "../../kernels/optim/ema.ts";
import { gradNorm } from "../../kernels/optim/grad-norm.ts";
import { FLAT_BLOCK } from "../../kernels/optim/flat-block.ts";
import { lambStep } from "../../kernels/optim/lamb.ts";
import { makeLossScale, updateLossScale } from "../../kernels/optim/loss-scale.ts";
import { encodeMix, mixImages, mixLabels } from "../../kernels/augment/mix-batch.ts";
import { mixTargets } from "../../kernels/mix.ts";
import { normalizeImages } from "../../kernels/augment/normalize.ts";
import { patchTokens } from "../../kernels/patch-embed.ts";
import { resizeBicubic } from "../../kernels/augment/resize-bicubic.ts";
import { resizePosEmbed } from "../../kernels/resize-pos-embed.ts";
import { sgdStep } from "../../kernels/optim/sgd.ts";
import { close, uniform, type Case } from "../check.ts";
import { guarded } from "../guarded.ts";

const sizeOf = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);
const random = (shape: readonly number[], seed = 1): Tensor => Tensor.from(uniform(sizeOf(shape), seed), shape);
const positive = (shape: readonly number[], seed = 1): Tensor => Tensor.from(uniform(sizeOf(shape), seed).map(Math.abs), shape);
const whole = (shape: readonly number[], most: number, dtype: DType = "u32"): Tensor =>
  Tensor.from(
    uniform(sizeOf(shape), 3).map((v) => Math.floor(((v + 1) / 2) * most)),
    shape,
    dtype,
  );
/** Four numbers of a step, 0.1 each. */
const numbers = () => {
  const tensor = Tensor.from(new Uint32Array(new Float32Array(4).fill(0.1).buffer), [4], "u32");
  return (at: number) => ({ tensor, at });
};

/** Runs `body` in guarded memory first (what it changes in place is a copy there), then as users do: the same bits. */
export async function holds(body: () => readonly Tensor[]): Promise<void> {
  const bits = await guarded(body);
  const results = scope(() => [...body()]);
  (await readAll(results)).forEach((values, i) => {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    const other = bytes.findIndex((byte, at) => byte !== bits[i]![at]);
    if (other >= 0) throw new Error(`result ${i}: expected the same bits in memory that was NaN before, got others at byte ${other}`);
  });
}

/** Made once, so that both runs see the same tensors. */
const on = <T>(name: string, make: () => T, run: (given: T) => readonly Tensor[]): Case => ({
  name: `canaries: ${name}`,
  run: () => {
    const given = make();
    return holds(() => run(given));
  },
});

/** With gradients for all. */
const both = (name: string, make: () => Tensor[], run: (...given: Tensor[]) => Tensor): Case =>
  on(name, make, (given) => {
    for (const t of given) t.requiresGrad = true;
    const y = run(...given);
    return [y, ...gradients(y, given, Tensor.from(uniform(y.size, 9), y.shape))];
  });

const state = (n: number) => ({
  params: random([n], 1),
  grads: random([n], 2),
  m: random([n], 3),
  v: positive([n], 4),
  norm: gradNorm([random([n], 2)]),
  at: numbers(),
});
const records = () =>
  Tensor.from(
    encodeMix([
      { lam: 0.3, share: 0.3, box: [0, 0, 0, 0] },
      { lam: 1, share: 0.5, box: [1, 3, 2, 5] },
      { lam: 1, share: 1, box: [0, 0, 0, 0] },
    ]),
    [3, 6],
    "u32",
  );

export const cases: Case[] = [
  on(
    "adamw, clipped",
    () => state(268),
    ({ params, grads, m, v, norm, at }) => {
      adamwStep({ params, grads, m, v }, { decayed: 100, lr: at(0), bias1: at(1), bias2: at(2), weightDecay: 0.1, finite: norm, clip: 1 });
      return [params, m, v];
    },
  ),
  on(
    "adamw with a moving average",
    () => ({ ...state(268), ema: random([268], 5) }),
    ({ params, grads, m, v, ema, norm, at }) => {
      adamwStep(
        { params, grads, m, v, ema },
        { decayed: 100, lr: at(0), bias1: at(1), bias2: at(2), weightDecay: 0.1, finite: norm, emaDecay: at(3) },
      );
      return [params, m, v, ema];
    },
  ),
  on(
    "sgd",
    () => state(268),
    ({ params, grads, m, at }) => {
      sgdStep({ params, grads, momentum: m }, { decayed: 100, lr: at(0), weightDecay: 0.1, nesterov: true });
      return [params, m];
    },
  ),
  on(
    "lamb",
    () => ({
      ...state(3 * FLAT_BLOCK),
      segments: Tensor.from([0, 70, 2 * FLAT_BLOCK, 33], [2, 2], "u32"),
      owners: Tensor.from([0, 0, 1], [3], "u32"),
    }),
    ({ params, grads, m, v, norm, at, segments, owners }) => {
      lambStep(
        { params, grads, m, v },
        { decayed: 2 * FLAT_BLOCK, lr: at(0), bias1: at(1), bias2: at(2), weightDecay: 0.1, finite: norm, segments, owners },
      );
      return [params, m, v];
    },
  ),
  on(
    "ema",
    () => state(268),
    ({ params, grads, norm, at }) => {
      emaStep({ ema: params, params: grads }, { decay: at(0), finite: norm });
      return [params];
    },
  ),
  on(
    "gradNorm",
    () => ({ x: random([5132]), scale: Tensor.from([1024], []) }),
    ({ x, scale }) => [gradNorm([x]), gradNorm([x], scale)],
  ),
  on(
    "accumulate",
    () => state(268),
    ({ params, grads, at }) => {
      accumulate({ sum: params, g: grads }, { keep: at(0), share: 0.5 });
      return [params];
    },
  ),
  on(
    "lossScale",
    () => ({ ...state(268), scale: makeLossScale(1024) }),
    ({ norm, scale }) => {
      updateLossScale(scale, norm, 1);
      return [scale.scale, scale.good];
    },
  ),
  ...(["cpu", "gpu"] as const).flatMap((adapter) =>
    [
      [3, 5],
      [70, 8],
      [1000, 12],
      [65, 1],
      [2, 2052],
    ].map(
      ([S = 0, D = 0]): Case => ({
        name: `addParts (${adapter}): [${S},${D}]`,
        async run() {
          const parts = [random([S, D], 1), random([S, D], 2)] as const;
          await holds(() => addParts(parts, adapter));
          const found = (await readAll(scope(() => [...addParts(parts, adapter), ...addParts([parts[1]], adapter)]))) as Float32Array[];
          [1, 2, 2].forEach((seed, k) => {
            const values = uniform(S * D, seed);
            for (let d = 0; d < D; d++)
              close(
                `sum ${k}[${d}]`,
                found[k]![d]!,
                Array.from({ length: S }, (_, s) => values[s * D + d]!).reduce((a, b) => a + b, 0),
                1e-5 * S,
              );
          });
        },
      }),
    ),
  ),
  ...(["cpu", "gpu"] as const).map(
    (adapter): Case => ({
      name: `joinedSums (${adapter}): of several lengths, two from one buffer, the bits that they have alone`,
      async run() {
        const shapes = [
          [2, 4],
          [3, 12],
          [6, 20],
          [70, 12],
          [1000, 1032],
          [3, 2052],
        ] as const;
        const parts = shapes.map((shape, k) => random(shape, k));
        parts.push(new Tensor([5, 64], "f32", parts[4]!.storage, 1024)); // rows of 64 from the middle of another's
        const sums = parts.map((parts, k) => ({ parts, shared: k % 2 === 1, at: 0 }));
        let n = 64; // elements before the first sum, and between two, stay as they are
        for (const sum of sums) {
          sum.at = n;
          n += sum.parts.shape[1]! + 64;
        }
        const given = random([n], 99);
        await holds(() => {
          joinSums(given, sums, adapter);
          return [given];
        });
        const expected = Float32Array.from(uniform(n, 99));
        const alone = (await readAll(
          scope(() => sums.flatMap(({ parts, shared }) => addParts([parts], shared ? adapter : "cpu"))),
        )) as Float32Array[];
        sums.forEach(({ at }, k) => expected.set(alone[k]!, at));
        const found = await given.floats();
        const other = found.findIndex((v, i) => !Object.is(v, expected[i]));
        if (other >= 0) throw new Error(`element ${other}: expected ${expected[other]}, got ${found[other]}`);
      },
    }),
  ),
  on(
    "place",
    () => ({ x: random([67]), flat: random([200], 2) }),
    ({ x, flat }) => {
      place(x, new Tensor([67], "f32", flat.storage, 256));
      return [flat];
    },
  ),
  on(
    "place, of what a launch makes",
    () => ({ x: random([67]), flat: random([200], 2) }),
    ({ x, flat }) => {
      place(add(x, x), new Tensor([67], "f32", flat.storage, 256));
      return [flat];
    },
  ),
  on(
    "argmax, countCorrect",
    () => ({ x: random([67, 13]), labels: whole([67], 13) }),
    ({ x, labels }) => [argmax(x), countCorrect(x, labels)],
  ),
  {
    ...on(
      "cast",
      () => random([3, 37]),
      (x) => [cast(cast(x, "f16"), "f32")],
    ),
    needs: ["shader-f16"],
  },
  ...(["shared", "register", "team4", "barrier16"] as const).map((variant) =>
    on(
      `crossEntropy of labels, ${variant}`,
      () => ({ x: random([19, 37]), labels: whole([19], 37) }),
      ({ x, labels }) => {
        x.requiresGrad = true;
        const y = crossEntropy(x, labels, { labelSmoothing: 0.1, variant });
        return [y, ...gradients(y, [x])];
      },
    ),
  ),
  on("dropPathFactors", numbers, (at) => [dropPathFactors([0, 0.3, 0.6], 23, { seed: at(0), step: at(1) })]),
  on(
    "mixImages, mixLabels",
    () => ({ x: random([3, 3, 5, 7]), labels: whole([3], 11) }),
    ({ x, labels }) => [mixImages(x, records()), mixLabels(labels, records(), { classes: 11, smoothing: 0.1 })],
  ),
  on(
    "mixTargets",
    () => ({ labels: whole([5], 13), at: numbers() }),
    ({ labels, at }) => [mixTargets(labels, { classes: 13, lam: at(0), smoothing: 0.1 })],
  ),
  on(
    "normalizeImages",
    () => whole([2, 3, 6, 7], 256, "u8"),
    (x) => [normalizeImages(x, { mean: [0.4, 0.5, 0.6], std: [0.2, 0.3, 0.4] })],
  ),
  on(
    "convNorm",
    () => ({
      x: random([3, 13, 5, 7]),
      weight: random([11, 13, 1, 1], 2),
      c: [3, 4, 5].map((s) => random([11], s)),
      variance: positive([11], 6),
    }),
    ({ x, weight, c, variance }) => [
      noGrad(() => convNorm(x, weight, { weight: c[0]!, bias: c[1]!, mean: c[2]!, variance }, { relu: true })),
    ],
  ),
  on(
    "patchTokens",
    () => [random([2, 3, 4, 6]), random([5, 3, 2, 2], 2), random([5], 3), random([1, 1, 5], 4), random([1, 7, 5], 5)],
    ([x, weight, bias, token, position]) => [patchTokens(x!, weight!, bias!, [token!], position!)],
  ),
  both(
    "resizePosEmbed",
    () => [random([1, 17, 5])],
    (x) => resizePosEmbed(x!, { prefix: 1, height: 3, width: 7 }),
  ),
  on(
    "resizeBicubic",
    () => whole([9, 11, 3], 256, "u8"),
    (x) => [resizeBicubic(x, { height: 5, width: 14 })],
  ),
];

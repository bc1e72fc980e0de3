import { noGrad } from "../../engine/autograd.ts";
import { scope } from "../../engine/memory.ts";
import { readAll, Tensor } from "../../engine/tensor.ts";
import { batchNorm } from "../../kernels/batch-norm.ts";
import { conv2d, convNorm, type Conv2dOptions } from "../../kernels/conv2d.ts";
import { close, refuses, uniform, type Case } from "../check.ts";

interface Shape extends Conv2dOptions {
  readonly why: string;
  readonly x: readonly [number, number, number, number];
  readonly weight: readonly [number, number, number, number];
  readonly relu: boolean;
}

const shapes: readonly Shape[] = [
  { why: "3x3, groups, stride 2", x: [2, 24, 9, 14], weight: [40, 3, 3, 3], stride: 2, padding: 1, groups: 8, relu: true },
  { why: "1x1, channels no tile evenly", x: [3, 13, 5, 7], weight: [11, 13, 1, 1], relu: false },
  { why: "1x1 of stride 2", x: [1, 16, 8, 8], weight: [24, 16, 1, 1], stride: 2, relu: false },
  { why: "a stem", x: [1, 3, 16, 16], weight: [32, 3, 3, 3], stride: 2, padding: 1, relu: true },
];

/** The two ops one after the other have tests of their own. */
async function same({ x, weight, relu, why: _, ...o }: Shape): Promise<void> {
  const make = (shape: readonly number[], seed: number, add = 0) =>
    Tensor.from(
      uniform(
        shape.reduce((a, b) => a * b, 1),
        seed,
      ).map((v) => v + add),
      shape,
    );
  const O = weight[0];
  const results = scope(() =>
    noGrad(() => {
      const [image, kernel] = [make(x, 1), make(weight, 2)];
      const [normWeight, normBias, mean, variance] = [make([O], 3, 0.5), make([O], 4), make([O], 5), make([O], 6, 1.5)] as const;
      return [
        convNorm(image, kernel, { weight: normWeight, bias: normBias, mean, variance }, { ...o, relu }),
        batchNorm(conv2d(image, kernel, null, o), normWeight, normBias, mean, variance, { relu }),
      ];
    }),
  );
  const [got, expected] = (await readAll(results)) as Float32Array[];
  for (const t of results) t.dispose();
  if (got!.length !== expected!.length || !expected!.some((v) => v !== 0))
    throw new Error(`expected ${expected!.length} values, not all 0, got ${got!.length}`);
  got!.forEach((v, i) => close(`y[${i}]`, v, expected![i]!, 1e-5 * (1 + Math.abs(expected![i]!))));
}

export const cases: Case[] = [
  ...shapes.map((s) => ({ name: `convNorm: ${s.why}, as the two ops`, run: () => same(s) })),
  {
    name: "convNorm: refuses statistics of other channels",
    run: () => {
      const [right, wrong] = [Tensor.zeros([4]), Tensor.zeros([3])];
      return refuses(
        () =>
          convNorm(Tensor.zeros([1, 2, 4, 4]), Tensor.zeros([4, 2, 1, 1]), { weight: right, bias: right, mean: wrong, variance: right }),
        /convNorm: expected mean \[4\] for weight \[4,2,1,1\], got \[3\]/,
      );
    },
  },
];

import { scope } from "../../engine/memory.ts";
import { readAll, Tensor } from "../../engine/tensor.ts";
import { batchNorm, BATCH_NORM_VARIANTS, type BatchNormOptions, type BatchNormVariant } from "../../kernels/batch-norm.ts";
import { checkOp, type Checked, close, refuses, uniform, type Case } from "../check.ts";
import { buffer, flag, fraction, op, positive } from "../op.ts";
import { batchNormReference, channelStats } from "../reference/conv.ts";

export const ops = [
  op("batchNorm", {
    inputs: { x: "[B,C,H,W]", weight: "[C]", bias: "[C]", runningMean: buffer("[C]"), runningVar: buffer("[C]") },
    outputs: "y [B,C,H,W]; runningMean, runningVar [C] when training",
    attrs: { training: flag, eps: positive(1e-5), momentum: fraction(0.1) },
    variants: BATCH_NORM_VARIANTS,
    run({ x, weight, bias, runningMean, runningVar }, attrs, variant) {
      const y = batchNorm(x, weight, bias, runningMean, runningVar, { ...attrs, variant });
      return attrs.training ? { y, runningMean, runningVar } : y;
    },
    reference: ({ x, weight, bias, runningMean, runningVar }, shapes, { training, eps }) => {
      const [B = 1, C = 1, H = 1, W = 1] = shapes.x;
      const running = training ? {} : { running: { mean: runningMean, variance: runningVar } };
      return batchNormReference([B, C, H * W], { eps, ...running })(x, weight, bias);
    },
    label: ({ B, C, H, W }) => `B${B} C${C} ${H}x${W}`,
    timed: [
      { sizes: "4x104x28x28", attrs: { training: true } },
      { sizes: "32x208x28x28", attrs: { training: true }, on: "gpu" },
    ],
  }),
];

type Dims = readonly [number, number, number, number];

const running = (C: number) => ({ mean: uniform(C, 7), variance: uniform(C, 8).map((v) => 1.5 + v) });

const check = (shape: Dims, options: BatchNormOptions = {}): Promise<Checked> => {
  const [B, C, H, W] = shape;
  const stats = running(C);
  return checkOp({
    inputs: [shape, [C], [C]],
    op: (x, weight, bias) => batchNorm(x!, weight!, bias!, Tensor.from(stats.mean, [C]), Tensor.from(stats.variance, [C]), options),
    reference: batchNormReference([B, C, H * W], { ...options, ...(options.training ? {} : { running: stats }) }),
    shape,
  });
};

/** Trains on x once; the running statistics before and after. */
async function update(x: Float64Array, shape: Dims, options: BatchNormOptions = {}) {
  const C = shape[1];
  const before = running(C);
  const tensors = scope(() => {
    const mean = Tensor.from(before.mean, [C]),
      variance = Tensor.from(before.variance, [C]);
    return [
      batchNorm(Tensor.from(x, shape), Tensor.from(uniform(C, 1), [C]), Tensor.zeros([C]), mean, variance, { training: true, ...options }),
      mean,
      variance,
    ];
  });
  const [y, mean, variance] = (await readAll(tensors)) as Float32Array[];
  for (const t of tensors) t.dispose();
  return { before, y: y!, mean: mean!, variance: variance! };
}

async function checkRunning(variant: BatchNormVariant): Promise<void> {
  const [B, C, H, W] = [5, 7, 3, 3] as const;
  const x = uniform(B * C * H * W, 3);
  const { before, mean, variance } = await update(x, [B, C, H, W], { momentum: 0.3, variant });
  const batch = channelStats(x, [B, C, H * W]);
  const n = B * H * W;
  for (let c = 0; c < C; c++) {
    close(`mean[${c}]`, mean[c]!, 0.7 * before.mean[c]! + 0.3 * batch.mean[c]!, 1e-6);
    close(`variance[${c}]`, variance[c]!, 0.7 * before.variance[c]! + (0.3 * batch.variance[c]! * n) / (n - 1), 1e-6);
  }
}

/** A mean 1000 times the spread: E[x^2] - E[x]^2 in f32 would be off by several per cent. */
async function checkOffset(variant: BatchNormVariant): Promise<void> {
  const shape = [9, 3, 4, 4] as const;
  const x = uniform(9 * 3 * 16, 4).map((v) => Math.fround(1000 + v));
  const { y } = await update(x, shape, { variant });
  const expected = batchNormReference([9, 3, 16])(x, uniform(3, 1), new Float64Array(3));
  expected.forEach((v, i) => close(`y[${i}]`, y[i]!, v, 3e-3));
}

async function checkBadBatch(variant: BatchNormVariant): Promise<void> {
  const x = uniform(4 * 3 * 9, 5);
  x[0] = 3e38;
  x[1] = -3e38;
  const { before, mean, variance } = await update(x, [4, 3, 3, 3], { variant });
  close("mean of the spoiled channel", mean[0]!, Math.fround(before.mean[0]!), 0);
  close("variance of the spoiled channel", variance[0]!, Math.fround(before.variance[0]!), 0);
  if (mean[1] === Math.fround(before.mean[1]!)) throw new Error("mean[1]: expected an update, got none");
}

export const cases: Case[] = [
  ...BATCH_NORM_VARIANTS.flatMap((variant): Case[] => [
    { name: `batchNorm (${variant}): training, odd image`, run: () => check([3, 5, 5, 7], { training: true, variant }) },
    {
      name: `batchNorm (${variant}): training, whole vectors, relu`,
      run: () => check([3, 66, 4, 4], { training: true, relu: true, variant }),
    },
    {
      name: `batchNorm (${variant}): training, stripes of several images, the last one shorter`,
      run: () => check([7, 700, 2, 1], { training: true, relu: true, variant }),
    },
    {
      name: `batchNorm (${variant}): training, one channel, two values`,
      run: () => check([2, 1, 1, 1], { training: true, eps: 0.1, variant }),
    },
    {
      name: `batchNorm (${variant}): training, images longer than a workgroup`,
      run: () => check([2, 3, 17, 17], { training: true, variant }),
    },
    {
      name: `batchNorm (${variant}): training, more vectors than a workgroup reads at a time`,
      run: () => check([1, 2, 72, 60], { training: true, variant }),
    },
    { name: `batchNorm (${variant}): running statistics move by momentum, with the unbiased variance`, run: () => checkRunning(variant) },
    { name: `batchNorm (${variant}): a mean far from 0`, run: () => checkOffset(variant) },
    { name: `batchNorm (${variant}): a batch past f32 leaves the running statistics alone`, run: () => checkBadBatch(variant) },
  ]),
  { name: "batchNorm: inference, odd image, relu", run: () => check([3, 5, 5, 7], { relu: true }) },
  { name: "batchNorm: inference, whole vectors, single image", run: () => check([1, 65, 4, 4], { eps: 0.1 }) },
  {
    name: "batchNorm: refuses statistics of another width",
    run: () =>
      refuses(
        () => batchNorm(Tensor.zeros([2, 3, 4, 4]), Tensor.zeros([3]), Tensor.zeros([3]), Tensor.zeros([4]), Tensor.zeros([3])),
        /batchNorm: expected runningMean \[3\] for x \[2,3,4,4\], got \[4\]/,
      ),
  },
  {
    name: "batchNorm: refuses to train on one value per channel",
    run: () =>
      refuses(() => {
        const t = Tensor.zeros([3]);
        batchNorm(Tensor.zeros([1, 3, 1, 1]), t, t, t, Tensor.zeros([3]), { training: true });
      }, /batchNorm: expected at least 2 values per channel in training, got x \[1,3,1,1\]/),
  },
];

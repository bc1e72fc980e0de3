/** Training in f16: the loss scale's rules, a planted overflow, the same course as f32, less memory, and the scale in checkpoints. */
import { readAll, Tensor } from "../../engine/tensor.ts";
import { philox } from "../../kernels/shared/random.ts";
import { makeLossScale, updateLossScale } from "../../kernels/optim/loss-scale.ts";
import { createModel } from "../../models/model.ts";
import { initialState } from "../../models/params.ts";
import { parseSafetensors } from "../../models/checkpoints/safetensors.ts";
import { readWeights } from "../../models/checkpoints/weights.ts";
import { CIFAR10_CLASSES, type ImageSet } from "../../train/data/dataset.ts";
import { memoryOnly } from "../../train/input/memory.ts";
import { memorySource } from "../../train/input/source.ts";
import { makeRecipe } from "../../train/recipe.ts";
import { train, type StepMetrics, type TrainOptions } from "../../train/train.ts";
import { refuses, type Case } from "../../checks/check.ts";

const SIDE = 16;

/** Noise whose brightness shows the class. */
function shades(count: number, seed: number): ImageSet {
  const pixels = 3 * SIDE * SIDE;
  const labels = Uint8Array.from({ length: count }, (_, n) => n % 10);
  const images = Uint8Array.from(
    { length: count * pixels },
    (_, i) => 20 * labels[Math.floor(i / pixels)]! + (philox([i, 0, 0, 0], [seed, 0])[0] >>> 27),
  );
  return { images, labels, count, classes: CIFAR10_CLASSES, shape: [3, SIDE, SIDE] };
}

const student = createModel({ arch: "deit", imgSize: SIDE, patchSize: 4, dim: 32, depth: 2, heads: 2, numClasses: 10 });
const recipe = makeRecipe({
  epochs: 40,
  batchSize: 16,
  lr: 1e-3,
  scaleLr: false,
  schedule: "step",
  warmupEpochs: 1,
  mixup: 0,
  cutmix: 0,
  dropPath: 0,
  emaDecay: null,
  labelSmoothing: 0,
  weightDecay: 0,
  crop: "none",
  hflip: 0,
  autoAugment: null,
  erasing: 0,
  repeats: 1,
  dtype: "f16",
});
const data = {
  train: memorySource(shades(48, 1), "shades"),
  test: memorySource(shades(16, 2), "shades"),
  platform: memoryOnly,
  normalization: { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] },
};

/** A run's steps, and its state after each: parameters, scale and good steps. */
async function course(o: Partial<TrainOptions> = {}) {
  const steps: StepMetrics[] = [];
  const saved: Uint8Array[] = [];
  const result = await train({
    model: student,
    recipe,
    seed: 1,
    ...data,
    evalEvery: 100,
    saveEvery: 1,
    onMetrics: (m) => {
      if (m.kind === "step") steps.push(m);
    },
    onCheckpoint: async (bytes) => {
      saved.push(bytes);
    },
    ...o,
  });
  const scales = saved.map((bytes) => parseSafetensors(bytes).tensors.get("loss_scale")?.data as Float32Array | undefined);
  return { steps, saved, scales, result };
}

const sameBits = (
  a: ReadonlyMap<string, { data: ArrayLike<number> }>,
  b: ReadonlyMap<string, { data: ArrayLike<number> }>,
): string | null => {
  for (const [name, { data: x }] of a)
    for (let i = 0; i < x.length; i++)
      if (!Object.is(x[i], b.get(name)!.data[i])) return `${name}[${i}]: ${x[i]} and ${b.get(name)!.data[i]}`;
  return null;
};

export const cases: Case[] = [
  {
    name: "loss scale: halves where gradients are not finite, doubles after so many that are",
    async run() {
      const state = makeLossScale(1024);
      const norm = Tensor.zeros([3]);
      const seen: string[] = [];
      for (const finite of [1, 1, 1, 1, 0, 1, 0, 1, 1, 1]) {
        norm.write([7, finite, 1]);
        updateLossScale(state, norm, 3);
        const [scale, good] = await readAll([state.scale, state.good]);
        seen.push(`${scale![0]}:${good![0]}`);
      }
      const expected = "1024:1 1024:2 2048:0 2048:1 1024:0 1024:1 512:0 512:1 512:2 1024:0";
      if (seen.join(" ") !== expected) throw new Error(`expected ${expected}, got ${seen.join(" ")}`);
      for (const t of [norm, state.scale, state.good]) t.dispose();
      await refuses(() => makeLossScale(1000), /lossScale: expected a power of two from .*, got 1000/);
    },
  },
  {
    name: "mixed precision: an overflow skips the update, halves the scale and leaves every weight's bits; training goes on",
    needs: ["shader-f16"],
    async run() {
      // Gradients of logits are about 0.1 / 16 at first: times 2^24 they are past f16's largest number.
      const { steps, saved, scales } = await course({ recipe: { ...recipe, lossScale: 2 ** 24 }, maxSteps: 6 });
      const skipped = steps.findIndex((s) => s.finite);
      if (skipped < 1 || steps[0]!.finite)
        throw new Error(`expected the first update skipped and a later one not, got ${steps.map((s) => s.finite)}`);
      const start = initialState(student.params, 1);
      for (let i = 0; i < steps.length; i++) {
        const halved = Math.min(i + 1, skipped);
        if (scales[i]![0] !== 2 ** (24 - halved) || scales[i]![1] !== i + 1 - halved)
          throw new Error(`step ${i + 1}: expected a scale of 2^${24 - halved} and ${i + 1 - halved} good, got ${scales[i]}`);
        if (steps[i]!.lossScale !== scales[i]![0])
          throw new Error(`step ${i + 1}: expected the metrics' scale to be ${scales[i]![0]}, got ${steps[i]!.lossScale}`);
        const differs = sameBits(start, readWeights(saved[i]!).state);
        if ((differs === null) !== i < skipped)
          throw new Error(
            `step ${i + 1}: expected ${i < skipped ? "unchanged weights" : "changed ones"}, got ${differs ?? "none changed"}`,
          );
      }
    },
  },
  {
    name: "mixed precision: losses follow those of f32, in less memory",
    needs: ["shader-f16"],
    async run() {
      const [half, full] = [
        await course({ maxSteps: 40, saveEvery: undefined }),
        await course({ recipe: { ...recipe, dtype: "f32" }, maxSteps: 40, saveEvery: undefined }),
      ];
      if (half.steps.some((s) => !s.finite)) throw new Error("expected finite gradients at every step");
      // Rounding is amplified from step to step: the courses agree closely at first, and later on the average.
      const first = full.steps[0]!.loss;
      const apart = (from: number, to: number) =>
        Math.abs(
          [half, full].map(({ steps }) => steps.slice(from, to).reduce((sum, s) => sum + s.loss, 0) / (to - from)).reduce((a, b) => a - b),
        );
      for (let i = 0; i < 8; i++)
        if (apart(i, i + 1) > 0.002 * first)
          throw new Error(`step ${i + 1}: expected a loss of ${full.steps[i]!.loss}, got ${half.steps[i]!.loss}`);
      if (apart(30, 40) > 0.02 * first)
        throw new Error(`steps 31 to 40: expected losses within 2 % of ${first}, got ${apart(30, 40)} apart`);
      const last = full.steps.at(-1)!.loss;
      if (!(last < first - 0.2)) throw new Error(`expected a loss below ${first - 0.2}, got ${last}`);
      if (!(half.result.planBytes < 0.75 * full.result.planBytes))
        throw new Error(`bytes of a step: expected less than 3/4 of ${full.result.planBytes}, got ${half.result.planBytes}`);
    },
  },
  {
    name: "mixed precision: stopped and resumed, the same bits; a checkpoint of f32 is refused",
    needs: ["shader-f16"],
    async run() {
      const o = { recipe: { ...recipe, lossScale: 2 ** 24, lossScaleGrowth: 4 } };
      const whole = await course({ ...o, maxSteps: 10 });
      const resumed = await course({ ...o, maxSteps: 10, resume: whole.saved[4]! });
      const differs = sameBits(whole.result.state, resumed.result.state);
      if (differs) throw new Error(`expected the same bits, got ${differs}`);
      if (String(whole.scales.at(-1)) !== String(resumed.scales.at(-1)))
        throw new Error(`expected scale and count ${whole.scales.at(-1)}, got ${resumed.scales.at(-1)}`);
      await refuses(
        () => course({ recipe: { ...recipe, dtype: "f32" }, resume: whole.saved[4]! }),
        /resume: expected a checkpoint with dtype "f32", got "f16"/,
      );
    },
  },
  {
    name: "mixed precision: a teacher in f16, clipping, two batches per update, the average",
    needs: ["shader-f16"],
    async run() {
      const model = createModel({ ...(student.config as object), distilled: true } as Record<string, unknown>);
      const teacher = { model: student, state: initialState(student.params, 9) };
      const { steps, scales } = await course({
        model,
        teacher,
        recipe: {
          ...recipe,
          teacherDtype: "f16",
          distillation: "soft",
          clipGrad: 1,
          accumulate: 2,
          emaDecay: 0.9,
          lossScale: 2 ** 10,
          lossScaleGrowth: 2,
        },
        maxSteps: 3,
      });
      if (
        steps.length !== 3 ||
        steps.some((s, i) => !s.finite || !(s.distill > 0) || s.lossScale !== scales[i]![0]) ||
        steps[2]!.lossScale !== 2 ** 11
      )
        throw new Error(`expected 3 finite steps, got ${JSON.stringify(steps)}`);
    },
  },
];

/**
 * Augmentation on the GPU: which share of bytes differs from the CPU's, which is Pillow's to the bit, and what it costs beside a training step.
 * Arguments are drawn as in the paper's `rand-m9-mstd0.5-inc1`; images are smooth with edges and noise, or noise alone, which is the hardest.
 */
import { expect, test } from "vitest";
import { getDevice } from "../../engine/device.ts";
import { record } from "../../engine/plan.ts";
import { createModel } from "../../models/model.ts";
import { initialState, ParameterStore } from "../../models/params.ts";
import type { RgbImage } from "../../models/images/preprocess.ts";
import { applyOpsOnGpu } from "../../train/augment/apply-gpu.ts";
import { randomAt } from "../../train/augment/draws.ts";
import { sampleOp } from "../../train/augment/levels.ts";
import { applyOps } from "../../train/augment/ops.ts";
import { RAND_INCREASING_OPS } from "../../train/augment/rand-augment.ts";
import { memoryOnly } from "../../train/input/memory.ts";
import { InputPipeline } from "../../train/input/pipeline.ts";
import { memorySource } from "../../train/input/source.ts";
import { Optimizer } from "../../train/optimizer.ts";
import { makeRecipe } from "../../train/recipe.ts";
import { makeStepInput } from "../../train/input/step-input.ts";
import { recordStep } from "../../train/step.ts";

const [IMAGES, HEIGHT, WIDTH] = [300, 64, 75];

function picture(height: number, width: number, seed: number): RgbImage {
  const random = randomAt(seed, 1, [0, 0, 0]);
  const [u, v, edge, noisy] = [random.uniform(0, 0.3), random.uniform(0, 0.3), random.uniform(0.2, 2), seed % 2 === 0];
  const data = Uint8Array.from({ length: 3 * height * width }, (_, i) => {
    const [y, x] = [Math.floor(i / 3 / width), Math.floor(i / 3) % width];
    if (noisy) return random.u32() >>> 24;
    return 128 + 90 * Math.sin(u * x + v * y + (i % 3)) + (y > edge * x ? 20 : 0) + random.uniform(-12, 12);
  });
  return { height, width, data };
}

const INTERPOLATES = new Set(["Rotate", "ShearX", "ShearY", "TranslateXRel", "TranslateYRel"]);

test.each([...new Set(RAND_INCREASING_OPS)])("%s: the share of bytes that differ from Pillow's", async (name) => {
  let [bytes, differ, most] = [0, 0, 0];
  for (let n = 0; n < IMAGES; n++) {
    const image = picture(HEIGHT, WIDTH, n);
    const op = sampleOp(name, 1, 9, { std: 0.5, max: 10 }, randomAt(n, 2, [0, 0, 0]))!;
    const expected = applyOps(image, [op]).data;
    const { data } = await applyOpsOnGpu(image, [op]);
    bytes += expected.length;
    expected.forEach((v, i) => {
      const e = Math.abs(v - data[i]!);
      if (e > 0) differ++;
      most = Math.max(most, e);
    });
  }
  console.log(`| \`${name}\` | ${IMAGES} | ${bytes} | ${differ} | ${((1e6 * differ) / bytes).toFixed(1)} | ${most} |`);
  expect(most).toBeLessThanOrEqual(INTERPOLATES.has(name) ? 1 : 0);
  expect(differ / bytes).toBeLessThan(1e-3);
});

const [B, H, W] = [8, 375, 500];
const CLASSES = Array.from({ length: 1000 }, (_, k) => String(k));

/** Milliseconds: median, least, most. */
function summary(ms: readonly number[]): { text: string; median: number } {
  const sorted = ms.toSorted((a, b) => a - b);
  const median = sorted[sorted.length >> 1]!;
  return { median, text: `${median.toFixed(1)} ms (${sorted[0]!.toFixed(1)} to ${sorted.at(-1)!.toFixed(1)}, ${ms.length} runs)` };
}

test("the paper's recipe on DeiT-Ti: augmentation takes at most a tenth of a step", async () => {
  const images = Uint8Array.from({ length: 2 * B * 3 * H * W }, (_, i) => Math.imul(i, 2654435761) >>> 24);
  const train = memorySource({ images, labels: new Uint8Array(2 * B), count: 2 * B, classes: CLASSES, shape: [3, H, W] }, "noise");
  const model = createModel("deit_tiny_patch16_224");
  const recipe = makeRecipe({ batchSize: B, repeats: 1, dropPath: 0.1 });
  const normalization = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
  const sources = (["gpu", "cpu"] as const).map((augment) => ({
    augment,
    input: makeStepInput({ model, recipe, seed: 1, normalization, train, augment }),
    ms: [] as number[],
    launched: [] as number[],
  }));
  const plans = await Promise.all(sources.map(async ({ input }) => record(() => input.launch())));
  const order = () => ({ images: Uint32Array.from({ length: 2 * B }, (_, i) => i) });
  const pipes = sources.map(
    ({ input }) => new InputPipeline(train, { batchSize: B, order, prepare: input.prepare, platform: memoryOnly, ahead: 1 }),
  );

  // A step whose images come as patches, as in training, and one whose images come whole.
  const steps = await Promise.all(
    [true, false].map(async (patches) => {
      const store = new ParameterStore(model.name, model.params, initialState(model.params, 1));
      const optimizer = new Optimizer(recipe, store);
      const step = await recordStep({
        model,
        store,
        optimizer,
        recipe,
        input: (patch) => sources[0]!.input.launch(patches ? patch : undefined),
        teacher: null,
      });
      step.labels.write(new Uint32Array(B));
      step.scalars.set({ ...optimizer.scalarsAt(1, 1e-4), keep: 0, seed: 1, step: 1 });
      return { step, ms: [] as number[] };
    }),
  );
  // In turns, so that what else the machine does meets all alike; the first round warms up.
  for (let round = 0; round < 7; round++) {
    for (const [k, { input, ms, launched }] of sources.entries()) {
      const fromMs = performance.now();
      input.write(await pipes[k]!.next());
      const writtenMs = performance.now();
      plans[k]!.run();
      await plans[k]!.idle();
      if (round > 0) ms.push(performance.now() - fromMs), launched.push(performance.now() - writtenMs);
    }
    for (const { step, ms } of round % 2 === 0 ? steps : steps.toReversed()) {
      const fromMs = performance.now();
      step.batch.run();
      await step.batch.idle();
      if (round > 0) ms.push(performance.now() - fromMs);
    }
  }
  await Promise.all(pipes.map((pipe) => pipe.close()));
  const [gpu, cpu] = sources.map(({ ms }) => summary(ms)) as [ReturnType<typeof summary>, ReturnType<typeof summary>];
  const launched = summary(sources[0]!.launched);
  const [step, whole] = steps.map(({ ms }) => summary(ms)) as [ReturnType<typeof summary>, ReturnType<typeof summary>];
  console.log(`${getDevice().adapter.description}: batch of ${B}, sources ${H}x${W}
    on the GPU: ${gpu.text}, ${((1000 * B) / gpu.median).toFixed(0)} images/s; of that launches ${launched.text}; ${plans[0]!.launches} launches of a step's ${steps[0]!.step.batch.launches}
    on the CPU, one thread: ${cpu.text}, ${((1000 * B) / cpu.median).toFixed(1)} images/s
    step with augmentation on the GPU: ${step.text}; share ${((100 * launched.median) / step.median).toFixed(1)} %; images whole instead of as patches: ${whole.text}`);
  expect(launched.median / step.median).toBeLessThan(0.1);
});

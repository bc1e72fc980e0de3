/** Ten thousand steps of a tiny model: nothing grows, nothing becomes infinite. */
import { expect, test } from "vitest";
import { getDevice } from "../../engine/device.ts";
import { createModel } from "../../models/model.ts";
import { memoryOnly } from "../../train/input/memory.ts";
import { memorySource } from "../../train/input/source.ts";
import type { StepMetrics } from "../../train/metrics.ts";
import { makeRecipe } from "../../train/recipe.ts";
import { train } from "../../train/train.ts";

const STEPS = 10_000;
const COUNT = 80;

test(`${STEPS} training steps: bytes live flat, loss finite, JavaScript heap flat`, async () => {
  const images = Uint8Array.from({ length: COUNT * 3 * 256 }, (_, i) => (i * 2654435761) >>> 24);
  const set = memorySource(
    { images, labels: Uint8Array.from({ length: COUNT }, (_, i) => i % 10), count: COUNT, classes: [..."abcdefghij"], shape: [3, 16, 16] },
    "noise",
  );
  const model = createModel({ arch: "deit", imgSize: 16, patchSize: 8, dim: 16, depth: 1, heads: 1, numClasses: 10 });
  const live: number[] = [],
    heap: number[] = [],
    losses: number[] = [];
  const { gc } = globalThis as { gc?: () => void };
  if (!gc) throw new Error("steps: expected node --expose-gc, got none");
  const epochs = Math.ceil(STEPS / (COUNT / 8));
  await train({
    model,
    seed: 3,
    train: set,
    test: set,
    platform: memoryOnly,
    normalization: { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] },
    evalEvery: epochs,
    maxSteps: STEPS,
    recipe: makeRecipe({ batchSize: 8, epochs, warmupEpochs: 1, repeats: 1, crop: "padded" }),
    onMetrics(m) {
      if (m.kind !== "step") return;
      const { step, loss, finite } = m as StepMetrics;
      losses.push(loss);
      if (!finite) throw new Error(`steps: expected finite gradients at step ${step}, got loss ${loss}`);
      if (step % 500 === 0) {
        gc();
        live.push(getDevice().stats.bytesLive);
        heap.push(process.memoryUsage().heapUsed);
      }
    },
  });
  const mb = (bytes: number) => (bytes / 1e6).toFixed(2);
  console.log(
    `bytes live ${mb(live[0]!)} to ${mb(live.at(-1)!)} MB; heap ${mb(heap[0]!)} to ${mb(heap.at(-1)!)} MB, at most ${mb(Math.max(...heap))}; loss ${losses[0]} to ${losses.at(-1)}`,
  );
  expect(losses).toHaveLength(STEPS);
  expect(losses.every(Number.isFinite)).toBe(true);
  expect(new Set(live).size).toBe(1);
  // What this test itself collects is 16 bytes a step.
  const half = heap.length / 2;
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  expect(mean(heap.slice(half)) - mean(heap.slice(0, half))).toBeLessThan(16 * STEPS + 500_000);
});

/** The memory of a run, said before it and measured in it. */
import { expect, test } from "vitest";
import { getDevice } from "../../engine/device.ts";
import { trimPool } from "../../engine/launch.ts";
import { estimate } from "../../train/estimate.ts";
import { makeRecipe } from "../../train/recipe.ts";
import { measureMemory } from "../measured-memory.ts";
import { PLAIN, plain, run, student, teacher } from "../tiny-training.ts";

const images = { images: [3, 16, 16], trainCount: 80, testCount: 20 } as const;

test("what a run takes is what was said before, and saying it takes nothing", async () => {
  const before = { ...getDevice().stats };
  const recipe = makeRecipe({ ...PLAIN, batchSize: 16, accumulate: 2, epochs: 1, warmupEpochs: 0, distillation: "hard" });
  const memory = estimate(student, recipe, { teacher: teacher.model, ...images });
  expect(getDevice().stats).toEqual(before);
  const { peak, ...parts } = memory;
  // What is read back through is the only part that is not listed.
  const sum = Object.values(parts).reduce((a, b) => a + b, 0);
  expect(peak).toBeGreaterThanOrEqual(sum);
  expect(peak).toBeLessThan(1.05 * sum);
  trimPool();
  const measured = await measureMemory(() => run({ recipe, maxSteps: 1, onCheckpoint: () => Promise.resolve() }));
  expect(Math.abs(measured.peak - peak)).toBeLessThan(0.05 * peak);
});

test("a run beyond the limit is refused before it takes anything, with the batch that fits", async () => {
  const recipe = makeRecipe({ batchSize: 40, distillation: "none" });
  const of = (batchSize: number) => estimate(plain, { ...recipe, batchSize }, images).peak;
  const options = { model: plain, teacher: undefined, recipe, maxSteps: 1 };
  let message = "";
  const refused = await measureMemory(() =>
    run({ ...options, memoryLimit: of(40) - 1 }).catch((error: Error) => {
      message = error.message;
    }),
  );
  expect(refused.buffers).toBe(0);
  const [, got, fits] = /^train: expected at most \d+ bytes of GPU memory, got (\d+) for batches of 40 images; batches of (\d+) fit/.exec(
    message,
  )!;
  expect(Number(got)).toBe(of(40));
  expect(of(Number(fits))).toBeLessThan(of(40));
  // Batches are of whole shards, four unless the recipe says otherwise.
  expect(fits).toBe("36");
  await expect(run({ ...options, memoryLimit: 1000 })).rejects.toThrow(/; not even batches of 4 fit$/);
});

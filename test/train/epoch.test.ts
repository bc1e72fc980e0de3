/** The times that an epoch reports. */
import { expect, test, vi } from "vitest";
import { Totals } from "../../train/epoch.ts";
import type { InputPipeline } from "../../train/input/pipeline.ts";
import { makeRecipe } from "../../train/recipe.ts";
import { PLAIN, plain, run } from "../tiny-training.ts";

test("the share of waiting is of the whole step: what the GPU took is in it", () => {
  let ms = 1000;
  const clock = vi.spyOn(performance, "now").mockImplementation(() => ms);
  try {
    const stats = { waitedMs: 0 };
    const totals = new Totals({ stats } as unknown as InputPipeline);
    const step = (waitMs: number, gpuMs: number) => {
      ms += waitMs;
      stats.waitedMs += waitMs;
      const share = totals.inputWait();
      ms += gpuMs;
      return share;
    };
    expect(step(2, 8)).toBe(1); // nothing but a wait so far
    expect(step(2, 30)).toBeCloseTo(0.2, 12); // 2 of 8 + 2
    expect(step(0, 10)).toBe(0);
    expect(totals.time).toEqual({ seconds: 0.052, inputWait: 4 / 52 });
  } finally {
    clock.mockRestore();
  }
});

test("a checkpoint that is due at an epoch's end is made there, though epochs as such make none: each may be one batch", async () => {
  const saved: number[] = [];
  const recipe = makeRecipe({ ...PLAIN, batchSize: 80, epochs: 4, warmupEpochs: 0, mixup: 0, cutmix: 0, emaDecay: null });
  await run({
    ...{ model: plain, teacher: undefined, recipe, saveEpochs: false, saveEvery: 2 },
    onCheckpoint: async (_, { step }) => void saved.push(step),
  });
  expect(saved).toEqual([2, 4]);
});

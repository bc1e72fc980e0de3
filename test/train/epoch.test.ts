/** The times that an epoch reports. */
import { expect, test, vi } from "vitest";
import { Totals } from "../../train/epoch.ts";
import type { InputPipeline } from "../../train/input/pipeline.ts";

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

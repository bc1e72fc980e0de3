/** Launches' params: their buffers are kept by content, a bounded number of them. */
import { expect, test } from "vitest";
import { getDevice } from "../../engine/device.ts";
import { defineKernel } from "../../engine/kernel.ts";
import { withRecorder } from "../../engine/launch.ts";
import { record } from "../../engine/plan.ts";
import { Tensor } from "../../engine/tensor.ts";

const plus = defineKernel({
  name: "plus",
  inputs: { x: "f32" },
  outputs: { y: "f32" },
  params: { by: "f32" },
  workgroup: 1,
  code: "y[0] = x[0] + p.by;",
});

test("params that vary without end keep a bounded number of buffers; plans keep theirs, and what is used again stays", async () => {
  const { stats } = getDevice();
  const x = Tensor.from([1], [1]);
  const launch = (by: number) => plus({ inputs: { x }, outputs: { y: [1] }, params: { by }, threads: 1 }).y;
  const made = (from: number, count: number): number => {
    const before = stats.buffersCreated;
    withRecorder({ launches: [] }, () => {
      for (let i = 0; i < count; i++) for (const by of [from + i, 0.5]) launch(by);
    });
    return stats.buffersCreated - before;
  };
  const plan = await record(() => launch(0.25));
  made(1, 2100);
  const { bytesAllocated } = stats;
  expect(made(5000, 100)).toBe(100);
  expect(stats.bytesAllocated).toBe(bytesAllocated);
  expect(made(5000, 100)).toBe(0);
  expect(made(1, 1)).toBe(1);
  plan.run();
  expect(await plan.result.item()).toBe(1.25);
  plan.dispose();
  x.dispose();
});

/** Times on the GPU of a plan's launches. */
import { getDevice } from "../engine/device.ts";
import { flush } from "../engine/launch.ts";
import type { Plan } from "../engine/plan.ts";

export interface LaunchTime {
  readonly kernel: string;
  /** Workgroups. */
  readonly groups: number;
  /** Since the first launch began. */
  readonly startMs: number;
  readonly ms: number;
}

/** WebGPU's limit on queries in one set. */
const MAX_QUERIES = 4096;

/** Whether `profile` can time this plan on the current device. */
export const canProfile = ({ steps }: Plan<unknown>): boolean =>
  getDevice().features.has("timestamp-query") && 2 * steps.length <= MAX_QUERIES;

/**
 * Runs a plan once with a pass per launch, and returns each launch's time by the GPU's own clock. Slower than `plan.run()`. Needs an adapter
 * with `timestamp-query`, and a plan of at most 2,048 launches.
 */
export async function profile({ steps, kernels }: Plan<unknown>): Promise<LaunchTime[]> {
  const device = getDevice();
  if (!device.features.has("timestamp-query")) throw new Error("profile: expected an adapter with timestamp-query, got one without");
  if (2 * steps.length > MAX_QUERIES) throw new Error(`profile: expected at most ${MAX_QUERIES / 2} launches, got ${steps.length}`);
  flush();
  const { gpu } = device;
  const bytes = 16 * steps.length;
  const querySet = gpu.createQuerySet({ type: "timestamp", count: 2 * steps.length });
  const resolved = gpu.createBuffer({ size: bytes, usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC });
  const mapped = gpu.createBuffer({ size: bytes, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  const encoder = gpu.createCommandEncoder();
  steps.forEach((step, i) => {
    const pass = encoder.beginComputePass({
      timestampWrites: { querySet, beginningOfPassWriteIndex: 2 * i, endOfPassWriteIndex: 2 * i + 1 },
    });
    pass.setPipeline(step.pipeline);
    pass.setBindGroup(0, step.group);
    pass.dispatchWorkgroups(step.x, step.y, step.z);
    pass.end();
  });
  encoder.resolveQuerySet(querySet, 0, 2 * steps.length, resolved, 0);
  encoder.copyBufferToBuffer(resolved, 0, mapped, 0, bytes);
  gpu.queue.submit([encoder.finish()]);
  await device.wait(mapped.mapAsync(GPUMapMode.READ));
  const ns = new BigUint64Array(mapped.getMappedRange().slice(0));
  mapped.unmap();
  for (const o of [querySet, resolved, mapped]) o.destroy();
  return kernels.map((kernel, i) => ({
    kernel,
    groups: steps[i]!.x * steps[i]!.y * steps[i]!.z,
    startMs: Number(ns[2 * i]! - ns[0]!) / 1e6,
    ms: Number(ns[2 * i + 1]! - ns[2 * i]!) / 1e6,
  }));
}

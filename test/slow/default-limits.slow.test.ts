/**
 * Every kernel at WebGPU's default limits, without features: compiled by Tint, on Dawn's null backend, which runs nothing. A kernel that
 * needs more must not be chosen there.
 */
import { expect, test } from "vitest";
import { create, globals } from "webgpu";
import { closeDevice, getDevice, initDevice } from "../../engine/device.ts";
import { pipelineOf } from "../../engine/pipeline.ts";
import { everyKernel } from "../generated-code/every-kernel.ts";

let gpu: GPU; // kept: Dawn dies with its instance

/** The null backend under a name that `initDevice` takes, with no more than WebGPU's defaults. */
async function openDefault(): Promise<void> {
  Object.assign(globalThis, globals);
  closeDevice();
  gpu = create(["backend=null"]);
  const adapter = (await gpu.requestAdapter())!;
  const named = new Proxy(await adapter.requestDevice(), {
    get(target, key) {
      if (key === "adapterInfo") return { vendor: "", architecture: "", device: "", description: "with default limits" };
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  await initDevice({ device: named });
}

test("everything compiles at WebGPU's default limits, without features", { timeout: 120_000 }, async () => {
  await openDefault();
  const { limits, features } = getDevice();
  const { maxStorageBufferBindingSize, maxComputeWorkgroupStorageSize, maxStorageBuffersPerShaderStage } = limits;
  expect([maxStorageBufferBindingSize, maxComputeWorkgroupStorageSize, maxStorageBuffersPerShaderStage]).toEqual([2 ** 27, 2 ** 14, 8]);
  expect([...features].filter((f) => f !== "core-features-and-limits")).toEqual([]);
  const kernels = everyKernel();
  expect(kernels.length).toBeGreaterThan(300);
  await Promise.all(kernels.map(({ label, code, signature }) => pipelineOf(label, code, signature).compile()));
});

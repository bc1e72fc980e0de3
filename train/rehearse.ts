/**
 * What a piece of work allocates, found by running it with memory that has sizes alone.
 *
 * The work runs as it is, on a stand-in for the device: buffers are counted and hold nothing, commands go nowhere. What is counted is
 * therefore what the real run allocates, whatever that is.
 */
import { Device, getDevice, withDevice } from "../engine/device.ts";
import { flush, isRecording } from "../engine/launch.ts";
import { scope } from "../engine/memory.ts";
import { giveStaging, takeStaging } from "../engine/staging.ts";
import type { Tensor } from "../engine/tensor.ts";

/**
 * Runs `body`, synchronous, on a stand-in for the current device; nothing is allocated, and what there is may be used. Plans in it are made
 * by `rehearsePlan`. Returns what `body` returns, with the stand-in's counters. Throws what the work itself would: a tensor larger than the
 * adapter takes.
 */
export function rehearse<T>(body: (stats: Device["stats"]) => T): { readonly result: T; readonly stats: Device["stats"] } {
  if (isRecording()) throw new Error("rehearse: expected no recording in progress, got one");
  flush();
  const device = new StandIn(getDevice());
  const result = withDevice(device, () =>
    scope(() => {
      const result = body(device.stats);
      flush();
      return result;
    }),
  );
  return { result, stats: device.stats };
}

/** Takes what `readAll(tensors)` would read through, and gives it back: within a `rehearse`, which reads nothing. */
export function rehearseRead(tensors: readonly Tensor[]): void {
  giveStaging(getDevice(), takeStaging(getDevice(), tensors).buffer);
}

class StandIn extends Device {
  readonly #origin: Device;

  constructor(origin: Device) {
    const { adapter, info, language } = origin;
    super({ gpu: standInGPU(origin), adapter, info, language, owned: true }, { wait: (promise) => promise });
    this.#origin = origin;
  }

  override get origin(): Device {
    return this.#origin;
  }
}

/** As much of a `GPUDevice` as work on tensors calls, with no GPU behind it. */
export function standInGPU({ limits, features }: Pick<Device, "limits" | "features">): GPUDevice {
  const nothing = () => ({});
  const pass = { setPipeline: nothing, setBindGroup: nothing, dispatchWorkgroups: nothing, end: nothing };
  const encoder = { beginComputePass: () => pass, clearBuffer: nothing, copyBufferToBuffer: nothing, finish: nothing };
  const device = {
    limits,
    features,
    lost: new Promise<never>(() => undefined),
    queue: { writeBuffer: nothing, submit: nothing },
    addEventListener: nothing,
    pushErrorScope: nothing,
    popErrorScope: () => Promise.resolve(null),
    createBuffer: ({ size, label = "" }: GPUBufferDescriptor) => ({
      ...{ size, label, destroy: nothing, unmap: nothing },
      getMappedRange: () => new ArrayBuffer(size),
    }),
    createBindGroup: nothing,
    createBindGroupLayout: nothing,
    createPipelineLayout: nothing,
    createShaderModule: () => ({ getCompilationInfo: () => Promise.resolve({ messages: [] }) }),
    createComputePipeline: nothing,
    createCommandEncoder: () => encoder,
  };
  return device as unknown as GPUDevice;
}

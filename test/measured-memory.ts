/** The GPU memory that something takes, counted where WebGPU is asked for it: beside the engine's own account. */
import { getDevice } from "../engine/device.ts";

export interface Measured {
  /** Bytes of buffers at once, at most. */
  readonly peak: number;
  /** Buffers that were made. */
  readonly buffers: number;
}

export async function measureMemory(body: () => Promise<unknown>): Promise<Measured> {
  const { gpu } = getDevice();
  const create = gpu.createBuffer.bind(gpu);
  let [now, peak, buffers] = [0, 0, 0];
  gpu.createBuffer = (descriptor) => {
    const buffer = create(descriptor);
    now += descriptor.size;
    peak = Math.max(peak, now);
    buffers++;
    const destroy = buffer.destroy.bind(buffer);
    buffer.destroy = () => {
      now -= descriptor.size;
      destroy();
    };
    return buffer;
  };
  try {
    await body();
  } finally {
    gpu.createBuffer = create;
  }
  return { peak, buffers };
}

/** Buffers that values are read back through. The few newest small ones are kept for the next read. */
import type { Device } from "./device.ts";
import { perDevice } from "./made-once.ts";
import { createBuffer, destroyBuffer } from "./memory.ts";

const KEPT = 8;
/** Bytes of a buffer that is kept; a checkpoint's would hold as much as the weights for the whole run. */
const KEPT_BYTES = 2 ** 16;

const keptOf = perDevice((): GPUBuffer[] => []);

/** A buffer to be mapped for reading these tensors' values; where each begins, and the length of all, in bytes. */
export function takeStaging(device: Device, tensors: readonly { readonly bytes: number }[]) {
  const offsets = [0];
  for (const { bytes } of tensors) offsets.push(offsets.at(-1)! + Math.ceil(bytes / 8) * 8);
  const bytes = offsets.pop()!;
  const kept = keptOf(device);
  const found = kept.findIndex(({ size }) => size >= bytes);
  const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
  const buffer = found >= 0 ? kept.splice(found, 1)[0]! : createBuffer(device, { label: "read", size: bytes, usage });
  return { buffer, offsets, bytes };
}

/** Gives an unmapped buffer back. */
export function giveStaging(device: Device, buffer: GPUBuffer): void {
  const kept = keptOf(device);
  kept.push(buffer);
  const spare = buffer.size > KEPT_BYTES ? kept.pop() : kept.length > KEPT ? kept.shift() : undefined;
  if (spare) destroyBuffer(device, spare);
}

/** Buffers that values are read back through. The few newest small ones are kept for the next read. */
import type { Device } from "./device.ts";
import { createBuffer, destroyBuffer } from "./memory.ts";

export interface Staging {
  readonly device: Device;
  readonly buffer: GPUBuffer;
}

const KEPT = 8;
/** Bytes of a buffer that is kept; a checkpoint's would hold as much as the weights for the whole run. */
const KEPT_BYTES = 2 ** 16;

const kept: Staging[] = [];

/** A buffer of at least `bytes`, to be mapped for reading. */
export function takeStaging(device: Device, bytes: number): Staging {
  const found = kept.findIndex((s) => s.device === device && s.buffer.size >= bytes);
  if (found >= 0) return kept.splice(found, 1)[0]!;
  return { device, buffer: createBuffer(device, { label: "read", size: bytes, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST }) };
}

/** Gives an unmapped buffer back. */
export function giveStaging(staging: Staging): void {
  kept.push(staging);
  const spare = staging.buffer.size > KEPT_BYTES ? kept.pop() : kept.length > KEPT ? kept.shift() : undefined;
  if (spare) destroyBuffer(spare.device, spare.buffer);
}

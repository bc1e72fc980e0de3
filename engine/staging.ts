/** Buffers that values are read back through. The few newest small ones are kept for the next read. */
import type { Device } from "./device.ts";
import { createBuffer, destroyBuffer } from "./memory.ts";

export interface Staging {
  readonly device: Device;
  readonly buffer: GPUBuffer;
  /** Where each of the values begins, in bytes. */
  readonly offsets: readonly number[];
  /** Of all of them. */
  readonly bytes: number;
}

const KEPT = 8;
/** Bytes of a buffer that is kept; a checkpoint's would hold as much as the weights for the whole run. */
const KEPT_BYTES = 2 ** 16;

const kept: Pick<Staging, "device" | "buffer">[] = [];

/** A buffer to be mapped for reading these tensors' values. */
export function takeStaging(device: Device, tensors: readonly { readonly bytes: number }[]): Staging {
  const offsets = [0];
  for (const { bytes } of tensors) offsets.push(offsets.at(-1)! + Math.ceil(bytes / 8) * 8);
  const bytes = offsets.pop()!;
  const found = kept.findIndex((s) => s.device === device && s.buffer.size >= bytes);
  const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
  const buffer = found >= 0 ? kept.splice(found, 1)[0]!.buffer : createBuffer(device, { label: "read", size: bytes, usage });
  return { device, buffer, offsets, bytes };
}

/** Gives an unmapped buffer back. */
export function giveStaging({ device, buffer }: Staging): void {
  kept.push({ device, buffer });
  const spare = buffer.size > KEPT_BYTES ? kept.pop() : kept.length > KEPT ? kept.shift() : undefined;
  if (spare) destroyBuffer(spare.device, spare.buffer);
}

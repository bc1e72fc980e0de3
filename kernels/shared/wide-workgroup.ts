import { getDevice, hasDevice } from "../../engine/device.ts";

/**
 * Threads of a large workgroup on this device: 256, or 128 at WebGPU's compatibility level. Without a device 256, so that
 * kernels can be listed before there is one.
 */
export const wideWorkgroup = (): 256 | 128 => (hasDevice() && getDevice().limits.maxComputeInvocationsPerWorkgroup < 256 ? 128 : 256);

import { getDevice, hasDevice } from "../../engine/device.ts";

/**
 * Threads of a large workgroup on this device: at WebGPU's compatibility level 128 are all that it allows. Without a device 256, so that
 * kernels can be listed before there is one.
 */
export const wideWorkgroup = (): 256 | 128 => (hasDevice() && getDevice().limits.maxComputeInvocationsPerWorkgroup < 256 ? 128 : 256);

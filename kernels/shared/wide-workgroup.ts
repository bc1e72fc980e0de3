import { getDevice } from "../../engine/device.ts";

/** Threads of a large workgroup on this device: at WebGPU's compatibility level 128 are all that it allows. */
export const wideWorkgroup = (): 256 | 128 => (getDevice().limits.maxComputeInvocationsPerWorkgroup >= 256 ? 256 : 128);

/** A GPU on paper: its limits and features, and nothing behind them. Launches can be recorded for it on any machine. */
import { Device, withDevice } from "../../engine/device.ts";
import { SUBGROUP_MATRIX } from "../../engine/wgsl.ts";
import { scope } from "../../engine/memory.ts";
import { chooseMatrix } from "../../kernels/gemm/matrix-choose.ts";
import { setMatrixChoice } from "../../kernels/gemm/matrix-use.ts";
import { standInGPU } from "../../train/rehearse.ts";

export interface PaperGPU {
  readonly vendor: string;
  readonly name: string;
  readonly lanes: number;
  readonly workgroupBytes: number;
  readonly invocations: number;
  readonly bufferBytes: number;
  /** Products of f16 on tensor cores, by matrices of 16x16x16. */
  readonly matrices: boolean;
}

/** NVIDIA's H100 as Dawn's Vulkan backend shows it (bench/results/steps/h100-last/doctor-matrix.json). */
export const H100: PaperGPU = {
  vendor: "nvidia",
  name: "nvidia-h100-80gb-hbm3",
  lanes: 32,
  workgroupBytes: 49152,
  invocations: 1024,
  bufferBytes: 2 ** 32 - 4,
  matrices: true,
};

/** Runs `body`, synchronous, with this GPU as the current device. */
export function onPaper<T>(gpu: PaperGPU, body: () => T): T {
  const limits = {
    maxComputeWorkgroupStorageSize: gpu.workgroupBytes,
    maxComputeInvocationsPerWorkgroup: gpu.invocations,
    maxComputeWorkgroupsPerDimension: 65535,
    maxStorageBufferBindingSize: gpu.bufferBytes,
    maxBufferSize: 2 ** 40,
    maxStorageBuffersPerShaderStage: 10,
    maxComputeWorkgroupSizeX: gpu.invocations,
  } as unknown as GPUSupportedLimits;
  const features = new Set(["shader-f16", "subgroups", ...(gpu.matrices ? [SUBGROUP_MATRIX] : [])]);
  const device = new Device(
    {
      gpu: standInGPU({ limits, features }),
      adapter: { vendor: gpu.vendor, architecture: "", device: gpu.name, description: "", software: false, features: [...features] },
      info: { subgroupMinSize: gpu.lanes, subgroupMaxSize: gpu.lanes },
      language: new Set(["subgroup_id"]),
      owned: true,
    },
    {},
  );
  return withDevice(device, () => {
    const setup = {
      shape: { M: 16, N: 16, K: 16, input: "f16" },
      syntax: "majorness",
      words: true,
      lanes: gpu.lanes,
      sized: false,
    } as const;
    if (gpu.matrices) setMatrixChoice((g, d) => chooseMatrix(setup, g, d));
    return scope(() => body());
  });
}

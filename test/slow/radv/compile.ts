/**
 * A process that compiles the hot kernels, and those of tensor cores, by Mesa's compiler for AMD GPUs. The driver writes what it makes of each
 * to stderr, after a line with its name. Nothing runs: there is no GPU.
 */
import { create, globals } from "webgpu";
import { Device, withDevice } from "../../../engine/device.ts";
import { SUBGROUP_MATRIX } from "../../../engine/wgsl.ts";
import { withRecorder, type Launch } from "../../../engine/launch.ts";
import { Tensor } from "../../../engine/tensor.ts";
import { attentionPacked } from "../../../kernels/attention.ts";
import { gradients } from "../../../engine/autograd.ts";
import { gemm } from "../../../kernels/gemm/gemm.ts";
import { MATRIX_TILES } from "../../../kernels/gemm/matrix-choose.ts";
import { matrixRefuses, matrixSums } from "../../../kernels/gemm/matrix.ts";
import { TILES, type TileName } from "../../../kernels/gemm/tiles.ts";
import { layerNorm } from "../../../kernels/layer-norm.ts";
import { softmax } from "../../../kernels/softmax.ts";
import { standInGPU } from "../../../train/rehearse.ts";

Object.assign(globalThis, globals);
const gpu = create(["enable-dawn-features=allow_unsafe_apis,use_vulkan_memory_model"]);
const adapter = (await gpu.requestAdapter())!;
const features = ["shader-f16", "subgroups", "subgroup-size-control", SUBGROUP_MATRIX] as GPUFeatureName[];
const { maxComputeWorkgroupStorageSize, maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupSizeX, maxStorageBuffersPerShaderStage } =
  adapter.limits;
const real = await adapter.requestDevice({
  requiredFeatures: features,
  requiredLimits: {
    maxComputeWorkgroupStorageSize,
    maxComputeInvocationsPerWorkgroup,
    maxComputeWorkgroupSizeX,
    maxStorageBuffersPerShaderStage,
  },
});

/** The device for shaders and pipelines; buffers and work go nowhere. */
const shaders = new Set(["createShaderModule", "createComputePipelineAsync", "createPipelineLayout", "createBindGroupLayout"]);
const paper = standInGPU({ limits: real.limits, features: new Set(features) });
const device = new Device(
  {
    gpu: new Proxy(paper, {
      get(target, key) {
        const value: unknown = Reflect.get(shaders.has(String(key)) ? real : target, key);
        return typeof value === "function" && shaders.has(String(key)) ? value.bind(real) : value;
      },
    }),
    adapter: { vendor: "amd", architecture: "", device: "null hardware", description: "", software: false, features },
    info: { subgroupMinSize: 32, subgroupMaxSize: 64 },
    language: new Set(["subgroup_id"]),
    owned: true,
  },
  {},
);

const SETUP = { shape: { M: 16, N: 16, K: 16, input: "f16" }, syntax: "majorness", words: true, lanes: 32, sized: true } as const;
const zeros = (...shape: number[]): Tensor => Tensor.zeros(shape);

function withGradients(run: (...inputs: readonly Tensor[]) => Tensor, ...inputs: readonly Tensor[]): void {
  for (const t of inputs) t.requiresGrad = true;
  const y = run(...inputs);
  gradients(y, inputs, zeros(...y.shape));
}

const bodies: (readonly [string, () => void])[] = [
  ...(Object.keys(TILES) as TileName[])
    .filter((name) => name.startsWith("shared"))
    .flatMap((variant) =>
      [false, true].map((ta): [string, () => void] => [
        `${variant} ${ta ? "TN with sums" : "NT"}`,
        () =>
          void gemm({
            a: { tensor: zeros(256, 256), transposed: ta },
            b: { tensor: zeros(256, 256), transposed: !ta },
            M: 256,
            N: 256,
            K: 256,
            shape: [256, 256],
            sums: ta,
            variant,
          }),
      ]),
    ),
  ...Object.entries(MATRIX_TILES).flatMap(([name, [tile]]) =>
    [false, true].map((ta): [string, () => void] => [
      `${name} ${ta ? "TN with sums" : "NT"}`,
      () => {
        const [M, N, K] = [768, 768, 768];
        const product = { ta, tb: !ta, M, N, K, sums: ta, store: ta ? ("f32" as const) : ("f16" as const) };
        if (matrixRefuses(SETUP, tile, product, device)) return;
        matrixSums(SETUP, tile, { ...product, a: Tensor.zeros([M, K], "f16"), b: Tensor.zeros([N, K], "f16") });
      },
    ]),
  ),
  ["attention shared-64", () => withGradients((qkv) => attentionPacked(qkv!, { heads: 3, variant: "shared-64" }), zeros(1, 198, 576))],
  ["layerNorm", () => withGradients((x, w, b) => layerNorm(x!, w!, b!), zeros(256, 384), zeros(384), zeros(384))],
  ["softmax", () => withGradients((x) => softmax(x!), zeros(256, 200))],
];

for (const [name, body] of bodies) {
  const launches: Launch[] = [];
  withDevice(device, () => withRecorder({ launches }, body));
  for (const { pipeline } of launches) {
    console.error(`### ${name} | ${pipeline.label}`);
    await pipeline.compile();
  }
}
process.exit(0);

/**
 * The kernels of subgroup matrices as other adapters would get them: compiled by Tint, on Dawn's null backend, which has every feature
 * and runs nothing. That what they compute is right, an adapter that has the matrices must show: checks/cases/gemm-matrix.ts.
 */
import { expect, test } from "vitest";
import { create, globals } from "webgpu";
import { gradients } from "../../engine/autograd.ts";
import { closeDevice, initDevice } from "../../engine/device.ts";
import { Tensor } from "../../engine/tensor.ts";
import { attentionPacked } from "../../kernels/attention.ts";
import { chooseMatrix, MATRIX_TILES } from "../../kernels/gemm/matrix-choose.ts";
import {
  matrixProduct,
  matrixRefuses,
  matrixShapes,
  matrixSums,
  useSubgroupMatrix,
  type MatrixSetup,
  type SubgroupMatrix,
} from "../../kernels/gemm/matrix.ts";
import { isSmall, TILES_8 } from "../../kernels/gemm/matrix-tiles-8.ts";
import { setMatrixChoice } from "../../kernels/gemm/matrix-use.ts";
import { matrixTile as tile } from "../../kernels/gemm/matrix-tile.ts";

/** What drivers list: NVIDIA's, Metal's and Intel's. */
const MATRICES: readonly SubgroupMatrix[] = [
  ...(
    [
      [16, 16, 16],
      [16, 8, 16],
      [16, 8, 8],
    ] as const
  ).flatMap(([M, N, K]) => ["f16", "f32"].map((resultComponentType) => ({ componentType: "f16", resultComponentType, M, N, K }))),
  { componentType: "f32", resultComponentType: "f32", M: 8, N: 8, K: 8 },
  { componentType: "f16", resultComponentType: "f32", M: 8, N: 16, K: 16 },
  { componentType: "u8", resultComponentType: "u32", M: 16, N: 16, K: 32 },
];

/** The null backend under a name that initDevice takes, with a GPU's matrices and workgroup memory; modules that it is given are kept. */
function nullGPU(modules: { code: string; module: GPUShaderModule }[], least = 32): GPU {
  const gpu = create(["backend=null", "enable-dawn-features=allow_unsafe_apis,use_vulkan_memory_model"]);
  const over = <T extends object>(of: T, own: Readonly<Record<string, unknown>>): T =>
    new Proxy(of, {
      get(target, key) {
        if (typeof key === "string" && Object.hasOwn(own, key)) return own[key];
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  return over(gpu, {
    async requestAdapter() {
      const adapter = (await gpu.requestAdapter())!;
      const info = {
        vendor: "made up",
        architecture: "",
        device: "",
        description: "",
        subgroupMinSize: least,
        subgroupMaxSize: 32,
        subgroupMatrixConfigs: MATRICES,
      };
      return over(adapter, {
        info,
        async requestDevice(descriptor: GPUDeviceDescriptor) {
          const device = await adapter.requestDevice(descriptor);
          const createShaderModule = (d: GPUShaderModuleDescriptor) => {
            const module = device.createShaderModule(d);
            modules.push({ code: d.code, module });
            return module;
          };
          return over(device, {
            createShaderModule,
            adapterInfo: info,
            limits: over(device.limits, { maxComputeWorkgroupStorageSize: 49152, maxComputeInvocationsPerWorkgroup: 1024 }),
          });
        },
      });
    },
  });
}

const SMALL = tile(32, 32, 32, 2, 2, "double");
const FORMS = [
  {
    form: { syntax: "majorness", words: true },
    tiles: [tile(128, 128, 32, 2, 2, "double"), tile(128, 256, 32, 2, 4, "ahead"), tile(64, 64, 64, 2, 2, "plain"), SMALL],
  },
  { form: { syntax: "majorness", words: false }, tiles: [SMALL] },
  { form: { syntax: "boolean", words: false }, tiles: [SMALL] },
] as const;

test("Tint compiles the kernels of subgroup matrices for other adapters", { timeout: 120_000 }, async () => {
  Object.assign(globalThis, globals);
  closeDevice();
  const modules: { code: string; module: GPUShaderModule }[] = [];
  const device = await initDevice({ gpu: nullGPU(modules) });
  try {
    const shapes = matrixShapes(device);
    // Largest first, sums in f32 only.
    expect(shapes.map(({ M, N, K, input }) => `${M}x${N}x${K} ${input}`)).toEqual([
      "16x16x16 f16",
      "16x8x16 f16",
      "8x16x16 f16",
      "16x8x8 f16",
      "8x8x8 f32",
    ]);
    const texts = new Set<string>();
    const refused: string[] = [];
    for (const shape of shapes)
      for (const { form, tiles } of FORMS)
        for (const t of form.words && isSmall(shape) ? [...tiles, ...Object.values(TILES_8).map(([t]) => t)] : tiles)
          for (const order of ["NN", "NT", "TN", "TT"]) {
            const setup: MatrixSetup = { shape, ...form, lanes: 32, sized: shape.N === 16 };
            const [ta, tb] = [order[0] === "T", order[1] === "T"];
            for (const [M, N, K, kind] of [
              [256, 256, 128, "direct"],
              [264, 264, 104, "slots"],
            ] as const) {
              if (matrixRefuses(setup, t, { ta, tb, M, N, K, direct: kind === "direct" }, device)) continue;
              const made = [
                Tensor.zeros([M * K], shape.input),
                Tensor.zeros([K * N], shape.input),
                Tensor.zeros([N]),
                Tensor.zeros([M, N], "f16"),
              ] as const;
              const [a, b, bias, residual] = made;
              const y = matrixProduct(setup, t, {
                a,
                b,
                ta,
                tb,
                M,
                N,
                K,
                ...(kind === "direct" ? { direct: true } : { bias, residual, activation: "gelu", store: "f16", alpha: 0.5 }),
              });
              for (const one of [...made, y]) one.dispose();
            }
          }
    // What a model asks for: each tile with sums of A, and attention's padded rows and parts of a tensor.
    const setup: MatrixSetup = { shape: shapes[0]!, ...FORMS[0].form, lanes: 32, sized: false };
    for (const [name, [t]] of Object.entries(MATRIX_TILES)) {
      const product = { ta: true, M: 264, N: 264, K: 104, sums: true };
      if (matrixRefuses(setup, t, product, device)) refused.push(name);
      else matrixSums(setup, t, { ...product, a: Tensor.zeros([104, 264], "f16"), b: Tensor.zeros([104, 264], "f16") });
    }
    // Threads that do not come out even over 192 rows, and 53,248 bytes.
    expect(refused).toEqual(["matrix-192x128x32", "matrix-256x192x16"]);
    setMatrixChoice((g, d) => chooseMatrix(setup, g, d));
    const qkv = Tensor.zeros([1, 197, 3 * 2 * 64], "f16");
    qkv.requiresGrad = true;
    gradients(attentionPacked(qkv, { heads: 2, variant: "batched" }), [qkv], Tensor.zeros([1, 197, 2 * 64], "f16"));
    setMatrixChoice(null);
    for (const { code, module } of modules) {
      if (!code.includes("subgroup_matrix_left")) continue;
      texts.add(code);
      const { messages } = await module.getCompilationInfo();
      expect(messages.filter((m) => m.type === "error").map((m) => `${m.message} | ${code.split("\n")[m.lineNum - 1]}`)).toEqual([]);
    }
    expect(texts.size).toBeGreaterThan(200);
    // A kernel loads from where it knows: otherwise Tint checks each load, see slabOf.
    for (const code of texts) {
      const loads = [...code.matchAll(/subgroupMatrixLoad<\w+(?:, \w+)?>\((\w+), ([^,]*),/g)];
      expect(loads.length).toBeGreaterThan(1);
      for (const [, from, at] of loads) expect(`${from} ${at}`).toMatch(/^[ab]_mine \d+u$/);
    }
  } finally {
    closeDevice();
  }
});

test("an adapter that promises matrices and computes wrongly is refused by name, each size of subgroups tried from the least", async () => {
  closeDevice();
  const device = await initDevice({ gpu: nullGPU([], 8) });
  try {
    const { on, reason } = await useSubgroupMatrix();
    expect(on).toBe(false);
    expect(reason).toMatch(
      /^made up promises subgroup matrices and computes wrongly: 16x16x16 majorness, subgroups of 8: .*expected -?\d+ at/,
    );
    const sizes = [...reason!.matchAll(/16x16x16 boolean, subgroups of (\d+)/g)].map(([, lanes]) => Number(lanes));
    expect(sizes).toEqual([8, 16, 32]);
  } finally {
    device.close();
  }
});

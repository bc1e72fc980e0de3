/** Parameters in several flat buffers, where the device binds none that holds them all: the bits are those of one buffer. */
import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { getDevice } from "../../engine/device.ts";
import { Tensor } from "../../engine/tensor.ts";
import { gradNorm } from "../../kernels/optim/grad-norm.ts";
import { createModel } from "../../models/model.ts";
import { ParameterStore } from "../../models/params.ts";
import { estimate } from "../../train/estimate.ts";
import { makeRecipe, type Recipe } from "../../train/recipe.ts";
import { PLAIN, run } from "../tiny-training.ts";

/** Weights larger than activations, so that a small limit cuts the weights alone. */
const model = createModel({ arch: "deit", imgSize: 16, patchSize: 8, dim: 32, depth: 3, heads: 2, numClasses: 10 });

const limited = async <T>(bytes: number, body: () => T | Promise<T>): Promise<T> => {
  const device = getDevice() as { limits: GPUSupportedLimits };
  const { limits } = device;
  device.limits = new Proxy(limits, {
    get: (target, key) => (key === "maxStorageBufferBindingSize" ? bytes : Reflect.get(target, key, target)),
  });
  try {
    return await body();
  } finally {
    device.limits = limits;
  }
};

const LIMIT = 36_864;
const digest = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

async function trained(recipe: Partial<Recipe>, resume?: Uint8Array) {
  const norms: number[] = [];
  const checkpoints: Uint8Array[] = [];
  await run({
    model,
    teacher: undefined,
    recipe: makeRecipe({ ...PLAIN, epochs: 1, batchSize: 10, lr: 0.01, warmupEpochs: 0, emaDecay: 0.9, clipGrad: 0.5, ...recipe }),
    augment: "cpu", // the augmentation's tables are larger than the limit
    evalBatchSize: 10,
    resume,
    onMetrics: (m) => void (m.kind === "step" && norms.push(m.gradNorm)),
    onCheckpoint: async (bytes) => void checkpoints.push(bytes.slice()),
  });
  return { norms, checkpoints };
}

test("the limit cuts the parameters into several buffers", async () => {
  const store = await limited(LIMIT, () => new ParameterStore("test", model.params, null));
  expect(store.flat.length).toBeGreaterThan(3);
  for (const { size } of store.flat) expect(4 * size).toBeLessThanOrEqual(LIMIT);
  store.dispose();
});

test.each(["adamw", "lamb", "sgd"] as const)(
  "%s: norms, weights, moments, average and checkpoint have the same bits",
  async (optimizer) => {
    const recipe = { optimizer, ...(optimizer === "adamw" ? { batchSize: 20, accumulate: 2, epochs: 2 } : {}) };
    const one = await trained(recipe);
    const several = await limited(LIMIT, () => trained(recipe));
    expect(several.norms.length).toBe(8);
    expect(several.norms).toEqual(one.norms);
    expect(several.checkpoints.map(digest)).toEqual(one.checkpoints.map(digest));
    if (optimizer !== "adamw") return;
    const resumed = await trained(recipe, several.checkpoints[0]);
    expect(resumed.checkpoints.map(digest)).toEqual([digest(one.checkpoints[1]!)]);
  },
);

test("the norm of several buffers is that of one, and a NaN in any of them is found", async () => {
  const n = 40_000;
  const values = Float32Array.from({ length: n }, (_, i) => Math.sin(i) * 3);
  const cuts = [0, 64, 64 * 100, 64 * 333, n];
  const norm = async (data: Float32Array) => {
    const parts = cuts.slice(1).map((end, i) => Tensor.from(data.slice(cuts[i], end), [end - cuts[i]!]));
    const y = gradNorm(parts);
    const found = await y.floats();
    for (const t of [...parts, y]) t.dispose();
    return found;
  };
  const whole = Tensor.from(values, [n]);
  const y = gradNorm([whole]);
  expect(await norm(values)).toEqual(await y.floats());
  for (const at of [3, 64 * 99, n - 1]) expect((await norm(values.map((v, i) => (i === at ? NaN : v))))[1]).toBe(0);
  whole.dispose();
  y.dispose();
});

test("DeiT-B: a training step is recorded at WebGPU's default limits, on a device that holds nothing", async () => {
  const base = createModel("deit_base_distilled_patch16_224");
  const memory = await limited(2 ** 27, () => estimate(base, makeRecipe({ batchSize: 8, distillation: "none" }), { testCount: 8 }));
  expect(memory.gradients).toBeGreaterThan(2 * 2 ** 27);
});

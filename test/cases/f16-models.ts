/** Whole models with f16 storage against the same in f32, and a refusal. */
import { noGrad } from "../../engine/autograd.ts";
import { getDevice } from "../../engine/device.ts";
import { scope } from "../../engine/memory.ts";
import { readAll, Tensor } from "../../engine/tensor.ts";
import { cast } from "../../kernels/cast.ts";
import { conv2d } from "../../kernels/conv2d.ts";
import { globalAvgPool } from "../../kernels/global-avg-pool.ts";
import { createModel } from "../../models/model.ts";
import { initialState, loadParams } from "../../models/params.ts";
import { storedModel, storedParams } from "../../models/mixed-precision.ts";
import { refuses, uniform, type Case } from "../../checks/check.ts";

const models = {
  "distilled DeiT": createModel({ arch: "deit", imgSize: 16, patchSize: 4, dim: 32, depth: 2, heads: 2, numClasses: 10, distilled: true }),
  "EVA-02": createModel({
    ...{ arch: "deit", imgSize: 16, patchSize: 4, dim: 32, depth: 2, heads: 2, numClasses: 10, pool: "mean", fcNorm: true },
    ...{ rope: "eva02", qkvFused: false, swiglu: "split", mlpNorm: true },
  }),
  RegNetY: createModel({ arch: "regnety", imgSize: 8, w0: 8, wa: 8, wm: 2, groupWidth: 8, depth: 1, stemWidth: 8, numClasses: 10 }),
  ConvNeXt: createModel({ arch: "convnext", imgSize: 32, depths: [1, 1, 1, 1], dims: [8, 8, 8, 8], numClasses: 10 }),
};

/** Blocks that follow each other, and roundings to f16 in each; their errors add up as random ones do. */
const BLOCKS = { "distilled DeiT": 2, "EVA-02": 2, RegNetY: 2, ConvNeXt: 4 };
const UNIT = 2 ** -11,
  IN_A_BLOCK = 8;

export const cases: Case[] = [
  ...(Object.keys(models) as (keyof typeof models)[]).map((name): Case => {
    const model = models[name],
      bound = UNIT * Math.sqrt(BLOCKS[name] * IN_A_BLOCK);
    return {
      name: `f16 models: ${name}, logits near those in f32 in half the matrices' memory`,
      needs: ["shader-f16"],
      async run() {
        // Weights of a usual size, so that logits depend on every layer.
        const state = new Map(
          [...initialState(model.params, 5)].map(([key, { shape, data }], i) => [
            key,
            shape.length > 1
              ? { shape, data: Float32Array.from(uniform(data.length, i), (v) => v * Math.sqrt(3 / (data.length / shape[0]!))) }
              : { shape, data: /conv3\.bn\.weight$|gamma$/.test(key) ? data.map(() => 0.5) : data },
          ]),
        );
        const x = Tensor.from(uniform(2 * model.imageShape.reduce((n, d) => n * d), 7), [2, ...model.imageShape]);
        const params = loadParams(name, model.params, state);
        const forward = (dtype: "f32" | "f16", p = params) => scope(() => noGrad(() => storedModel(model, dtype).forward(p, x).logits));
        const full = forward("f32");
        const matrices = model.params
          .filter((p) => p.shape.length > 1 && p.name.endsWith(".weight"))
          .reduce((n, p) => n + p.shape.reduce((s, d) => s * d), 0);
        // Nothing is awaited between two looks at the memory: what earlier cases dropped would be collected meanwhile.
        const live = () => getDevice().stats.bytesLive;
        const wide = live();
        const half = storedParams(params, "f16");
        const saved = wide - live();
        if (saved !== 2 * matrices) throw new Error(`memory: expected ${2 * matrices} bytes less, got ${saved}`);
        const narrow = forward("f16", half);
        const [a, b] = (await readAll([full, narrow])) as [Float32Array, Float32Array];
        const rms = (v: Float32Array) => Math.sqrt(v.reduce((s, e) => s + e * e, 0) / v.length);
        const apart = rms(a.map((v, i) => v - b[i]!)) / rms(a);
        if (!(apart > 0 && apart < bound)) throw new Error(`expected logits within ${bound} of their size, got ${apart}`);
        const all = [x, full, narrow, ...Object.values(half)];
        const held = all.reduce((n, t) => n + Math.ceil(t.bytes / 4) * 4, 0),
          before = live();
        for (const t of all) t.dispose();
        if (before - live() !== held) throw new Error(`memory: expected ${held} bytes given back, got ${before - live()}`);
      },
    };
  }),
  {
    name: "f16 models: refused where the adapter has no f16",
    async run() {
      if (getDevice().features.has("shader-f16")) return;
      const x = Tensor.zeros([4]);
      await refuses(() => cast(x, "f16"), /cast: expected an adapter with shader-f16 for f16 tensors, got one without/);
      x.dispose();
    },
  },
  {
    name: "f16 models: conv2d and pooling store as their input is stored",
    needs: ["shader-f16"],
    async run() {
      const [x, w] = [Tensor.zeros([1, 4, 5, 5]), Tensor.zeros([4, 2, 3, 3])];
      const made = scope(() => globalAvgPool(conv2d(cast(x, "f16"), cast(w, "f16"), null, { groups: 2 })));
      if (made.dtype !== "f16") throw new Error(`expected f16, got ${made.dtype}`);
      for (const t of [made, x, w]) t.dispose();
    },
  },
];

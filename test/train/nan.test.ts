/** NaNs and infinities planted in a step, each found by name and element. On a tiny model. */
import { expect, test } from "vitest";
import { defineOp, gradients, noGrad } from "../../engine/autograd.ts";
import { getDevice } from "../../engine/device.ts";
import { defineKernel } from "../../engine/kernel.ts";
import { scope } from "../../engine/memory.ts";
import { numel } from "../../engine/shape.ts";
import { Tensor } from "../../engine/tensor.ts";
import { cast } from "../../kernels/cast.ts";
import { crossEntropy } from "../../kernels/cross-entropy.ts";
import { add, mul } from "../../kernels/elementwise.ts";
import { layerNorm } from "../../kernels/layer-norm.ts";
import { mlp } from "../../kernels/mlp.ts";
import { softmax } from "../../kernels/softmax.ts";
import { initialState, ParameterStore, type State } from "../../models/params.ts";

import { debug, type NotFinite } from "../../train/debug.ts";
import { describeNotFinite, rangesByLayer } from "../../train/debug-text.ts";
import type { TrainOptions } from "../../train/options.ts";
import { makeRecipe } from "../../train/recipe.ts";
import { PLAIN, plain as model, run } from "../tiny-training.ts";

const values = (n: number): Float32Array => Float32Array.from({ length: n }, (_, i) => Math.sin(3 * i));
const labels = [3, 1, 4, 1];

interface Plant {
  /** Changes the initial value of some parameters. */
  readonly weights?: (parameter: (name: string) => Float32Array) => void;
  readonly images?: (pixels: Float32Array) => void;
  readonly lossScale?: number;
}

/** A model's forward and backward with something planted; what is found. */
async function found({ weights, images, lossScale = 1 }: Plant): Promise<NotFinite | null> {
  const store = new ParameterStore(model.name, model.params, initialState(model.params, 1));
  const state = await store.state();
  weights?.((name) => state.get(name)!.data);
  store.restore(state);
  const shape = [labels.length, ...model.imageShape];
  const pixels = values(numel(shape));
  images?.(pixels);
  const made = {
    images: Tensor.from(pixels, shape),
    labels: Tensor.from(labels, [labels.length], "u32"),
    scale: Tensor.from([lossScale], []),
  };
  try {
    const report = await debug(
      () => {
        const { logits } = model.forward(store.tensors, made.images);
        return gradients(crossEntropy(logits, made.labels), store.trained, made.scale);
      },
      { images: made.images, ...store.tensors },
    );
    return report.first;
  } finally {
    store.dispose();
    for (const tensor of Object.values(made)) tensor.dispose();
  }
}

test("nothing planted, nothing found", async () => {
  expect(await found({})).toBeNull();
});

test.each<[what: string, plant: Plant, expected: Partial<NotFinite>]>([
  [
    "a weight",
    { weights: (of) => (of("blocks.1.mlp.fc1.weight")[3 * 16 + 2] = NaN) },
    { tensor: "blocks.1.mlp.fc1.weight", shape: [64, 16], index: [3, 2], value: NaN, op: "mlp", layer: "blocks.1.mlp", phase: "forward" },
  ],
  [
    "an input pixel",
    { images: (pixels) => (pixels[1 * 768 + 2 * 256 + 3 * 16 + 4] = NaN) },
    { tensor: "images", shape: [4, 3, 16, 16], index: [1, 2, 3, 4], value: NaN, phase: "forward" },
  ],
  [
    "an overflow of attention's scores",
    { weights: (of) => of("blocks.0.attn.qkv.weight").forEach((v, i, all) => (all[i] = v * 1e22)) },
    { op: "attentionPacked", layer: "blocks.0.attn.qkv", value: NaN, phase: "forward" },
  ],
  [
    "infinite gradients by the loss scale",
    { lossScale: 3e38, weights: (of) => of("head.weight").forEach((v, i, all) => (all[i] = v * 100)) },
    { op: "tokenLinear", layer: "head", phase: "backward", value: Infinity },
  ],
  [
    "an infinity in the position embedding",
    { weights: (of) => (of("pos_embed")[5 * 16 + 7] = Infinity) },
    { tensor: "pos_embed", index: [0, 5, 7], value: Infinity, phase: "forward" },
  ],
])("planted: %s", async (_, plant, expected) => {
  const first = await found(plant);
  expect(first).toMatchObject(expected);
});

const f16 = getDevice().features.has("shader-f16");

test.skipIf(!f16)(`planted: an overflow of f16 in the MLP${f16 ? "" : " (skipped: needs shader-f16)"}`, async () => {
  const bias = new Float32Array(8);
  bias[5] = 7e4;
  const half = (n: number, shape: readonly number[]) => cast(Tensor.from(values(n), shape), "f16");
  const p = scope(() => ({
    ...{ "mlp.fc1.weight": half(32, [8, 4]), "mlp.fc1.bias": Tensor.from(bias, [8]) },
    ...{ "mlp.fc2.weight": half(32, [4, 8]), "mlp.fc2.bias": Tensor.from(values(4), [4]) },
    x: half(12, [3, 4]),
  }));
  const { x, ...weights } = p;
  const [w1, b1, w2, b2] = Object.values(weights) as [Tensor, Tensor, Tensor, Tensor];
  const { first } = await debug(() => mlp(x, w1, b1, w2, b2), p);
  expect(first).toMatchObject({ op: "mlp", layer: "mlp", phase: "forward", value: Infinity, index: [0, 5] });
  for (const tensor of Object.values(p)) tensor.dispose();
});

const logKernel = defineKernel({
  name: "log",
  inputs: { x: "f32" },
  outputs: { y: "f32" },
  params: { n: "u32" },
  workgroup: 64,
  code: "let i = group * WG + li; if (i < p.n) { y[i] = log(x[i]); }",
});
const log = defineOp({
  name: "log",
  forward: ([x]: readonly [Tensor]) => ({
    y: logKernel({ inputs: { x }, outputs: { y: x }, params: { n: x.size }, threads: x.size }).y,
    saved: null,
  }),
  backward: () => [null],
});

test("planted: the logarithm of a zero, in an operation of the app's own", async () => {
  const x = Tensor.from([1, 2, 3, 0, 5, 6], [2, 3]);
  const { first } = await debug(() => mul(log([x], {}), x), { x });
  expect(first).toMatchObject({ tensor: "y of log", op: "log", index: [1, 0], value: -Infinity });
  expect(first!.inputs).toMatchObject([{ name: "x", shape: [2, 3], min: 0, max: 6, broken: 0 }]);
  expect(describeNotFinite(first!)).toBe("-Infinity at element [1,0] of y of log [2,3], in log of x (forward); its inputs: x [2,3] 0 to 6");
  x.dispose();
});

test("planted: a mask that leaves a row nothing, beside rows that it leaves something", async () => {
  const off = -Infinity;
  const scores = Tensor.from(values(9), [3, 3]);
  const mask = Tensor.from([0, off, off, off, off, off, 0, 0, off], [3, 3]);
  const { first } = await debug(() => softmax(add(scores, mask)), { scores, mask });
  expect(first).toMatchObject({ op: "softmax", index: [1, 0], value: NaN });
  expect(first!.inputs[0]).toMatchObject({ minusInfinities: 6, first: { index: [0, 1] } });
  const some = Tensor.from([0, off, off, off, 0, off, 0, 0, off], [3, 3]);
  expect((await debug(() => softmax(add(scores, some)), { scores, some })).first).toBeNull();
  for (const tensor of [scores, mask, some]) tensor.dispose();
});

test("planted: a row without spread, divided by its standard deviation", async () => {
  const x = Tensor.from([1, 2, 3, 4, 5, 5, 5, 5], [2, 4]);
  const [weight, bias] = [Tensor.from([1, 1, 1, 1], [4]), Tensor.zeros([4])];
  const { first } = await debug(() => layerNorm(x, weight, bias, { eps: 0 }), { x, "norm.weight": weight, "norm.bias": bias });
  expect(first).toMatchObject({ op: "layerNorm", layer: "norm", phase: "forward", value: NaN, index: [1, 0] });
  for (const tensor of [x, weight, bias]) tensor.dispose();
});

test("planted: a learning rate that throws a parameter out of f32, found in a run", async () => {
  const recipe = makeRecipe({
    ...PLAIN,
    batchSize: 16,
    epochs: 1,
    warmupEpochs: 0,
    scaleLr: false,
    lr: 3e38,
    mixup: 0,
    cutmix: 0,
    emaDecay: null,
  });
  const options = { model, teacher: undefined, recipe, maxSteps: 1, debugNan: true };
  await expect(run(options)).rejects.toThrow(
    /^train: expected finite values in update 1, got -?Infinity at element \[[\d,]+\] of [a-z_.0-9]+\.(weight|bias) \[[\d,]+\], in adamw\S* \(optimizer\); its inputs: .*; learning rate 3e\+38$/,
  );
  // Several batches to an update: found in the update as well.
  await expect(run({ ...options, recipe: { ...recipe, accumulate: 2 } })).rejects.toThrow(
    /^train: expected finite values in update 1, .* \(optimizer\)/,
  );
});

test("what is looked into stays as it was: the same bits with debugNan, statsEvery and profileEvery", async () => {
  const stats: { step: number; layers: readonly string[] }[] = [];
  const recipe = makeRecipe({ ...PLAIN, batchSize: 16, epochs: 1, warmupEpochs: 0, mixup: 0, cutmix: 0, emaDecay: 0.9 });
  const options = { model, teacher: undefined, recipe, maxSteps: 3 };
  const unlooked = await run(options);
  const looked = await run({
    ...{ ...options, debugNan: true, statsEvery: 2 },
    onStats: ({ step, layers }) => stats.push({ step, layers: layers.map(({ layer }) => layer) }),
  });
  const bits = (state: State) => [...state].map(([name, { data }]) => [name, [...data]]);
  expect(bits(looked.state)).toEqual(bits(unlooked.state));
  expect(bits(looked.ema!)).toEqual(bits(unlooked.ema!));
  const profiles: Parameters<NonNullable<TrainOptions["onProfile"]>>[0][] = [];
  const timed = await run({ ...options, profileEvery: 2, onProfile: (profile) => profiles.push(profile) });
  expect(bits(timed.state)).toEqual(bits(unlooked.state));
  const clocked = getDevice().features.has("timestamp-query");
  expect(profiles.map(({ step, launches }) => [step, launches.length, launches[0]!.startMs])).toEqual(
    clocked ? [[3, timed.launches, 0]] : [],
  );
  expect(stats.map(({ step }) => step)).toEqual([1, 3]);
  expect(stats[0]!.layers).toEqual(expect.arrayContaining(["patch_embed.proj", "blocks.0.attn.qkv", "blocks.1.mlp", "norm", "head"]));
});

test("ranges by layer are those of the values", async () => {
  const x = Tensor.from([1, -2, 3, 4], [2, 2]);
  const w = Tensor.from([2, 3, -5, 7], [2, 2]);
  w.requiresGrad = true;
  const { launches } = await debug(() => gradients(mul(x, w), [w], x), { x, "layer.weight": w });
  expect(rangesByLayer(launches)).toEqual([
    { layer: "layer", activations: { min: -15, max: 28, notFinite: 0 }, gradients: { min: 1, max: 16, notFinite: 0 } },
  ]);
  expect(scope(() => noGrad(() => mul(x, w).shape))).toEqual([2, 2]);
  for (const tensor of [x, w]) tensor.dispose();
});

/** Small vision transformers: six with switches drawn at random, DINOv3 and EVA-02, against what backbones_small.py and rotary.py recorded from timm. */
import { gradients, noGrad } from "../../engine/autograd.ts";
import { getDevice } from "../../engine/device.ts";
import { scope } from "../../engine/memory.ts";
import { constant } from "../../kernels/shared/scalars.ts";
import { readAll, Tensor } from "../../engine/tensor.ts";
import { createModel } from "../../models/model.ts";
import { initialState, loadParams, ParameterStore } from "../../models/params.ts";
import { resizedPosEmbed } from "../../models/pos-embed.ts";
import { close, type Case } from "../../checks/check.ts";
import golden from "../golden/backbones-small.json" with { type: "json" };
import rotary from "../golden/rotary-small.json" with { type: "json" };
import { fill, fillInput, fillState } from "../golden/fill.ts";
import { distance } from "../golden/probe.ts";

const VALUE = 1e-4,
  GRADIENT = 1e-3;

type Probes = Readonly<Record<string, readonly number[]>>;

interface Golden {
  readonly config: { readonly imgSize: number };
  readonly y: readonly (readonly number[])[];
  readonly activations: Probes;
  readonly gradients: Probes;
}

async function check({ config, y, activations, gradients: expected }: Golden): Promise<void> {
  const model = createModel({ ...config });
  const filled = fillState(model.params.map((s) => [s.name, s.shape]));
  const store = new ParameterStore(
    model.name,
    model.params,
    new Map(model.params.map((s) => [s.name, { shape: s.shape, data: filled.get(s.name)! }])),
  );
  const { imgSize } = config;
  const x = Tensor.from(fillInput(9 * imgSize * imgSize), [3, 3, imgSize, imgSize]);
  const taps: Record<string, Tensor> = {};
  const dy = Tensor.from(fill(y.flat().length, 1, 1), [3, y[0]!.length]);
  const results = scope(() => {
    // With a tap the last block makes every token, without one those that the head reads.
    const tap = (name: string, value: Tensor) => name in activations && (taps[name] = value);
    const tapped = noGrad(() => model.forward(store.tensors, x, { tap })).logits;
    const { logits } = model.forward(store.tensors, x);
    return [tapped, logits, ...Object.values(taps), ...gradients(logits, store.trained, dy)];
  });
  const [tapped, logits, ...values] = (await readAll(results)) as Float32Array[];
  for (const t of [x, dy, ...results]) t.dispose();
  store.dispose();
  for (const made of [tapped!, logits!]) y.flat().forEach((v, i) => close(`y[${i}]`, made[i]!, v, VALUE * (1 + Math.abs(v))));
  const within = (what: string, got: Float32Array, probe: readonly number[], tol: number) => {
    const share = distance(got, probe);
    if (!(share <= tol)) throw new Error(`${what}: expected it within ${tol} of timm's, got ${share.toExponential(2)} from it`);
  };
  const named = Object.keys(taps);
  if (named.toSorted().join() !== Object.keys(activations).toSorted().join())
    throw new Error(`expected activations ${Object.keys(activations)}, got ${named}`);
  named.forEach((name, i) => within(name, values[i]!, activations[name]!, VALUE));
  const parameters = store.layout.parts.map(({ name }) => name);
  if (parameters.toSorted().join() !== Object.keys(expected).toSorted().join())
    throw new Error(`expected gradients of ${Object.keys(expected)}, got ${parameters}`);
  parameters.forEach((name, i) => within(`gradient of ${name}`, values[named.length + i]!, expected[name]!, GRADIENT));
}

interface Resized {
  readonly config: Golden["config"] & { readonly rope: string };
  readonly resized: Golden["y"];
}

/** Weights of a small model at twice its size: positions are made anew, or resampled as timm does it. */
async function checkResized({ config, resized }: Resized): Promise<void> {
  const small = createModel({ ...config });
  const filled = fillState(small.params.map((s) => [s.name, s.shape]));
  const state = new Map(small.params.map((s) => [s.name, { shape: s.shape, data: filled.get(s.name)! }]));
  const model = createModel({ ...config, imgSize: 2 * config.imgSize });
  const named = { ...model, name: config.rope === "eva02" ? "eva02_tiny_patch14_224" : model.name }; // whose rule of resampling is timm's
  const params = loadParams(model.name, model.params, resizedPosEmbed(state, named));
  const x = Tensor.from(fillInput(model.imageShape.reduce((a, b) => a * b)), [1, ...model.imageShape]);
  const logits = scope(() => noGrad(() => model.forward(params, x).logits));
  const values = await logits.floats();
  for (const t of [x, logits, ...Object.values(params)]) t.dispose();
  resized[0]!.forEach((v, i) => close(`y[${i}]`, values[i]!, v, VALUE * (1 + Math.abs(v))));
}

/** Launches of a forward and backward of a small model. */
function launches(more: Readonly<Record<string, unknown>>): number {
  const model = createModel({ arch: "deit", imgSize: 32, patchSize: 16, dim: 24, depth: 2, heads: 2, mlpRatio: 2, numClasses: 8, ...more });
  const store = new ParameterStore(model.name, model.params, initialState(model.params, 1));
  const x = Tensor.zeros([2, ...model.imageShape]);
  const before = getDevice().stats.launches;
  scope(() => {
    const { logits } = model.forward(store.tensors, x, { training: true });
    gradients(logits, store.trained, Tensor.zeros(logits.shape));
    return [];
  });
  x.dispose();
  store.dispose();
  return getDevice().stats.launches - before;
}

/** For each block of a small model, how many of 64 images it changes while a branch is dropped with a chance of 0.9. */
async function changed(uniform: boolean): Promise<number[]> {
  const model = createModel({ arch: "deit", imgSize: 8, patchSize: 8, dim: 8, depth: 3, heads: 1, mlpRatio: 1, numClasses: 2 });
  const params = loadParams(model.name, model.params, initialState(model.params, 1));
  const x = Tensor.from(fillInput(64 * 192), [64, 3, 8, 8]);
  const draws = { rate: 0.9, uniform, seed: constant(5, "u32"), step: constant(0, "u32") };
  const seen: Tensor[] = [];
  const kept = scope(() => {
    // Only what a block leaves of its input stays the same to the bit.
    model.forward(params, x, { training: true, dropPath: draws, tap: (name, value) => /^blocks\.\d$/.test(name) && seen.push(value) });
    return seen;
  });
  const tokens = (await readAll(kept)) as Float32Array[];
  for (const t of [x, ...kept, ...Object.values(params)]) t.dispose();
  const per = tokens[0]!.length / 64;
  const differs = (a: Float32Array, b: Float32Array) =>
    Array.from({ length: 64 }, (_, n) => n).filter((n) => a.subarray(n * per, (n + 1) * per).some((v, i) => v !== b[n * per + i])).length;
  return [differs(tokens[0]!, tokens[1]!), differs(tokens[1]!, tokens[2]!)];
}

export const cases: Case[] = [
  {
    name: "dropPath: uniform, every block drops by its rate; else the second by half of it, the last by all",
    async run() {
      // Of 64 images both branches are dropped for a share of 0.9^2 = 0.81, or 0.45^2 = 0.20.
      const within = (what: string, got: number, share: number) => close(what, got / 64, share, 3 * Math.sqrt((share * (1 - share)) / 64));
      const [second, last] = await changed(true);
      within("uniform, second", second!, 0.19);
      within("uniform, last", last!, 0.19);
      const [half, all] = await changed(false);
      within("linear, second", half!, 0.7975);
      within("linear, last", all!, 0.19);
    },
  },
  {
    name: "DeiT III: LayerScale and its gradient take no launch of their own",
    run: async () => close("launches", launches({ layerScale: 1e-6, posEmbedCls: false }), launches({}), 0),
  },
  ...golden.models.map((model, i) => ({
    name: `vision transformer ${i + 1} of random switches: values and every parameter's gradient as timm's`,
    run: () => check(model),
  })),
  // In a page each compiles for seconds: one of them there, all in Node.
  ...rotary.models.flatMap(({ name, resized, ...model }) => [
    {
      name: `${name}, small: values and every parameter's gradient as timm's`,
      long: !(model.config.rope === "dinov3" && model.config.swiglu),
      run: () => check(model),
    },
    ...(resized
      ? [{ name: `${name}, small: at twice the size as timm's`, long: true, run: () => checkResized({ config: model.config, resized }) }]
      : []),
  ]),
];

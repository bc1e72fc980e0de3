/** DINOv3 and EVA-02 in training: dropout, stochastic depth, f16, and LoRA on layers that other transformers have as one. */
import { expect, test } from "vitest";
import { getDevice } from "../../engine/device.ts";
import { isHead } from "../../models/heads.ts";
import { createModel } from "../../models/model.ts";
import { initialState, type State } from "../../models/params.ts";
import { makeRecipe } from "../../train/recipe.ts";
import type { StepMetrics } from "../../train/metrics.ts";
import { PLAIN, run } from "../tiny-training.ts";

const SMALL = { arch: "deit", imgSize: 16, patchSize: 4, dim: 16, depth: 2, heads: 2, numClasses: 10, pool: "mean" };
const MODELS = {
  DINOv3: createModel({ ...SMALL, rope: "dinov3", layerScale: 0.1, regTokens: 2, swiglu: "split" }),
  "EVA-02": createModel({ ...SMALL, rope: "eva02", qkvFused: false, swiglu: "split", mlpNorm: true, fcNorm: true }),
};
const NAMES = Object.keys(MODELS) as (keyof typeof MODELS)[];
const recipe = {
  ...PLAIN,
  epochs: 4,
  batchSize: 16,
  lr: 0.02,
  warmupEpochs: 0,
  mixup: 0,
  cutmix: 0,
  colorJitter: 0,
  distillation: "none",
} as const;

const changed = (state: State, start: State): string[] =>
  [...state].flatMap(([name, { data }]) => (data.some((v, i) => v !== start.get(name)!.data[i]) ? [name] : []));

test.each(NAMES)("%s: dropout and stochastic depth reach every parameter, twice the same bits", { timeout: 600_000 }, async (name) => {
  const model = MODELS[name];
  const steps: StepMetrics[] = [];
  const o = { model, teacher: undefined, recipe: makeRecipe({ ...recipe, dropout: 0.1, dropPath: 0.3 }), maxSteps: 8 };
  const first = await run({ ...o, onMetrics: (m) => void (m.kind === "step" && steps.push(m)) });
  expect(steps.map(({ finite }) => finite)).toEqual(Array(8).fill(true));
  expect(changed(first.state, initialState(model.params, 3)).toSorted()).toEqual(model.params.map((p) => p.name).toSorted());
  const again = await run(o);
  for (const [key, { data }] of first.state)
    expect(Buffer.from(again.state.get(key)!.data.buffer).equals(Buffer.from(data.buffer)), key).toBe(true);
});

test.each(NAMES)("%s: the losses of a run in f16 are those in f32 but for rounding", { timeout: 600_000 }, async (name) => {
  expect(getDevice().features.has("shader-f16")).toBe(true);
  const losses = async (dtype: "f32" | "f16"): Promise<number[]> => {
    const found: number[] = [];
    await run({
      model: MODELS[name],
      teacher: undefined,
      recipe: makeRecipe({ ...recipe, epochs: 8, dtype }),
      onMetrics: (m) => void (m.kind === "step" && found.push(m.loss)),
    });
    return found;
  };
  const [wide, narrow] = [await losses("f32"), await losses("f16")];
  expect(narrow.length).toBe(wide.length);
  expect(Math.max(...narrow.map((loss, i) => Math.abs(loss / wide[i]! - 1)))).toBeLessThan(5e-3);
  expect(narrow).not.toEqual(wide);
});

test.each(NAMES)("%s: LoRA adapts its layers, and nothing else but the head", { timeout: 600_000 }, async (name) => {
  const model = MODELS[name];
  const start = initialState(model.params, 4);
  const { state } = await run({
    model,
    teacher: undefined,
    initial: start,
    recipe: makeRecipe({ ...recipe, trainOnly: "lora", loraRank: 2, loraTargets: "qkv,proj,fc1,fc2" }),
    maxSteps: 6,
  });
  const expected = model.params.filter(({ name: of }) => isHead(of) || /\.(attn|mlp)\.\w+\.weight$/.test(of.replace("mlp.norm", "")));
  expect(changed(state, start).toSorted()).toEqual(expected.map((p) => p.name).toSorted());
});

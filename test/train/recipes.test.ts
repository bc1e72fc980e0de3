/** Ten updates of each recipe, against timm's own optimizers, schedules and mixing: test/golden/recipes.json. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { createModel } from "../../models/model.ts";
import type { State } from "../../models/params.ts";
import { memoryOnly } from "../../train/input/memory.ts";
import { memorySource } from "../../train/input/source.ts";
import { makeRecipe } from "../../train/recipe.ts";
import { train, type StepMetrics } from "../../train/train.ts";
import { fillState } from "../golden/fill.ts";
import { BASE, CLASSES, COUNT, DEIT3, imageBytes, MODEL, NORMALIZATION, RECIPES, recorderInput, SEED, SIDE } from "../golden/recipes.ts";

interface Recorded {
  readonly name: string;
  readonly steps: readonly { readonly loss: number; readonly lr: number; readonly norm: number }[];
  readonly after: Readonly<Record<string, { readonly norm: number; readonly moved: number; readonly first: readonly number[] }>>;
}
const read = (name: string): unknown => JSON.parse(readFileSync(new URL(`../golden/${name}`, import.meta.url), "utf8"));
const golden = (read("recipes.json") as { recipes: readonly Recorded[] }).recipes;

const classes = Array.from({ length: CLASSES }, (_, k) => `class ${k}`);
const labels = Uint8Array.from({ length: COUNT }, (_, n) => n % CLASSES);
const images = memorySource({ images: imageBytes(), labels, count: COUNT, classes, shape: [3, SIDE, SIDE] }, "golden");

const norm = (values: Float32Array, from?: Float32Array): number => Math.hypot(...values.map((v, i) => v - (from?.[i] ?? 0)));

/** A key's bias moves every score of a row alike: its gradient is 0, and Adam turns the rounding of an f32 run into steps. */
const isKeyed = (name: string): boolean => name.endsWith("qkv.bias");

test("what was recorded are these recipes, drawn as now", () => {
  expect(JSON.parse(JSON.stringify(recorderInput()))).toEqual(read("recipes-in.json"));
});

test.each(golden)("$name", async ({ name, steps, after }) => {
  const { recipe, distilled = false, deit3 } = RECIPES.find((r) => r.name === name)!;
  const model = createModel({ ...MODEL, distilled, ...(deit3 ? DEIT3 : {}) });
  const filled = fillState(model.params.map((p) => [p.name, p.shape]));
  const initial: State = new Map(model.params.map(({ name: n, shape }) => [n, { shape, data: filled.get(n)! }]));
  const seen: StepMetrics[] = [];
  const { state } = await train({
    ...{ model, initial, seed: SEED, train: images, test: images, platform: memoryOnly, normalization: NORMALIZATION, evalEvery: 100 },
    recipe: makeRecipe({ ...BASE, ...recipe }),
    onMetrics: (m) => void (m.kind === "step" && seen.push(m)),
  });
  expect(seen.map((m) => m.lr)).toEqual(steps.map(({ lr }) => expect.closeTo(lr, 12)));
  seen.forEach((m, i) => {
    expect(Math.abs(m.loss - steps[i]!.loss), `loss of update ${i}: ${m.loss}, timm ${steps[i]!.loss}`).toBeLessThan(2e-5);
    expect(Math.abs(m.gradNorm / steps[i]!.norm - 1), `gradient norm of update ${i}`).toBeLessThan(1e-4);
  });
  for (const [parameter, expected] of Object.entries(after)) {
    if (isKeyed(parameter)) continue;
    const got = state.get(parameter)!.data;
    expect(Math.abs(norm(got) / expected.norm - 1), `norm of ${parameter}`).toBeLessThan(1e-5);
    expect(Math.abs(norm(got, filled.get(parameter)) / expected.moved - 1), `way of ${parameter}`).toBeLessThan(1e-3);
    expected.first.forEach((v, i) => expect(Math.abs(got[i]! - v), `${parameter}[${i}]`).toBeLessThan(1e-4));
  }
});

/**
 * What LayerScale costs: a training step of DeiT III-S beside one of DeiT-S, in turns on the same adapter. Holds the launches and prints the
 * row of RESULTS.md, whose times need a quiet machine.
 */
import { expect, test } from "vitest";
import { median, medianInterval, quantile } from "../../bench/stats.ts";
import { adapterName, getDevice } from "../../engine/device.ts";
import { Tensor } from "../../engine/tensor.ts";
import { createModel } from "../../models/model.ts";
import { initialState, ParameterStore } from "../../models/params.ts";
import { Optimizer } from "../../train/optimizer.ts";
import { makeRecipe } from "../../train/recipe.ts";
import { recordStep } from "../../train/step.ts";

const PAIRS = 11;
const RECIPE = makeRecipe({ batchSize: 2, repeats: 1, distillation: "none", emaDecay: null, mixup: 0, cutmix: 0, dropPath: 0 });

async function recorded(name: string) {
  const model = createModel(name);
  const store = new ParameterStore(name, model.params, initialState(model.params, 1));
  const x = Tensor.from(new Float32Array(2 * 3 * 224 * 224).fill(0.5), [2, ...model.imageShape]);
  const optimizer = new Optimizer(RECIPE, store);
  const step = await recordStep({ model, store, optimizer, recipe: RECIPE, input: () => x, teacher: null });
  let t = 0;
  const run = async (): Promise<number> => {
    step.scalars.set({ ...optimizer.scalarsAt(++t, 1e-6), keep: 0, seed: 0, step: t });
    const startMs = performance.now();
    step.batch.run();
    await step.batch.idle();
    return performance.now() - startMs;
  };
  for (let i = 0; i < 2; i++) await run();
  return { launches: step.batch.launches, run };
}

test("a step of DeiT III-S has at most 2 % more launches than DeiT-S's", { timeout: 1_200_000 }, async () => {
  const [plain, scaled] = [await recorded("deit_small_patch16_224"), await recorded("deit3_small_patch16_224")];
  const times: (readonly [plain: number, scaled: number])[] = [];
  for (let i = 0; i < PAIRS; i++) {
    if (i % 2 === 0) times.push([await plain.run(), await scaled.run()]);
    else times.push((([second, first]) => [first!, second!] as const)([await scaled.run(), await plain.run()]));
  }
  const ratios = times.map(([plain, scaled]) => scaled / plain);
  const least = (k: 0 | 1) =>
    quantile(
      times.map((pair) => pair[k]),
      0,
    );
  const [low, high] = medianInterval(ratios);
  const figures = [median(ratios), low, high, least(1) / least(0)].map((v) => v.toFixed(3));
  process.stdout.write(
    `\nadapter: ${adapterName(getDevice().adapter)}\n| median ratio of ${PAIRS} pairs | range | ratio of least times | least, ms | launches |\n` +
      `| ${figures[0]} | ${figures[1]} to ${figures[2]} | ${figures[3]} | ${least(1).toFixed(0)} and ${least(0).toFixed(0)} | ${scaled.launches} and ${plain.launches} |\n`,
  );
  expect(scaled.launches).toBeLessThanOrEqual(1.02 * plain.launches);
});

/** Models of numClasses 0 give what a classifier would read (timm's num_classes=0): with a classifier put on top, the logits of the whole model. */
import { expect, test } from "vitest";
import { noGrad } from "../../engine/autograd.ts";
import { Tensor } from "../../engine/tensor.ts";
import { createModel } from "../../models/model.ts";
import { initialState, loadParams, type State } from "../../models/params.ts";
import { fillInput } from "../golden/fill.ts";

const vit = { arch: "deit", imgSize: 8, patchSize: 4, dim: 8, depth: 2, heads: 2, numClasses: 3 };
test.each([
  ["ViT", vit, "head", 8],
  ["distilled DeiT, the mean of both tokens", { ...vit, distilled: true }, "head", 8],
  ["RegNetY", { arch: "regnety", imgSize: 8, w0: 8, wa: 6, wm: 2, groupWidth: 8, depth: 3, stemWidth: 8, numClasses: 3 }, "head.fc", 16],
])("%s", async (_, config, head, width) => {
  const [whole, headless] = [createModel(config), createModel(config, 0)];
  const first = new Map(initialState(whole.params, 3));
  // One classifier for both tokens, so that the mean of the logits is the logits of the mean.
  for (const kind of ["weight", "bias"]) {
    const { shape } = first.get(`${head}.${kind}`)!;
    const values = { shape, data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i + 1)) };
    for (const name of [`${head}.${kind}`, `head_dist.${kind}`]) if (first.has(name)) first.set(name, values);
  }
  const shape = [2, 3, 8, 8];
  const x = Tensor.from(fillInput(2 * 3 * 8 * 8), shape);
  const run = (model: typeof whole, state: State) => noGrad(() => model.forward(loadParams("weights", model.params, state), x));
  const features = run(headless, new Map([...first].filter(([name]) => !name.startsWith("head")))).logits;
  expect(features.shape).toEqual([2, width]);
  const [f, logits] = [await features.floats(), await run(whole, first).logits.floats()];
  const [w, b] = ["weight", "bias"].map((kind) => first.get(`${head}.${kind}`)!.data);
  const expected = Array.from({ length: 2 * 3 }, (_, i) => {
    const [n, k] = [Math.floor(i / 3), i % 3];
    return Array.from({ length: width }, (_, d) => f[n * width + d]! * w![k * width + d]!).reduce((a, v) => a + v, b![k]!);
  });
  logits.forEach((v, i) => expect(v).toBeCloseTo(expected[i]!, 5));
  expect(logits.some((v) => Math.abs(v - b![0]!) > 0.01)).toBe(true);
});

/** Six small vision transformers with switches drawn at random, against what backbones_small.py recorded from timm. */
import { gradients } from "../../engine/autograd.ts";
import { scope } from "../../engine/memory.ts";
import { readAll, Tensor } from "../../engine/tensor.ts";
import { createModel } from "../../models/model.ts";
import { ParameterStore } from "../../models/params.ts";
import { close, type Case } from "../../checks/check.ts";
import golden from "../golden/backbones-small.json" with { type: "json" };
import { fill, fillInput, fillState } from "../golden/fill.ts";
import { distance } from "../golden/probe.ts";

const VALUE = 1e-4,
  GRADIENT = 1e-3;

async function check({ config, y, activations, gradients: expected }: (typeof golden.models)[number]): Promise<void> {
  const model = createModel(config);
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
    const { logits } = model.forward(store.tensors, x, { tap: (name, value) => name in activations && (taps[name] = value) });
    return [logits, ...Object.values(taps), ...gradients(logits, store.trained, dy)];
  });
  const [logits, ...values] = (await readAll(results)) as Float32Array[];
  for (const t of [x, dy, ...results]) t.dispose();
  store.dispose();
  y.flat().forEach((v, i) => close(`y[${i}]`, logits![i]!, v, VALUE * (1 + Math.abs(v))));
  const within = (what: string, got: Float32Array, probe: readonly number[], tol: number) => {
    const share = distance(got, probe);
    if (!(share <= tol)) throw new Error(`${what}: expected it within ${tol} of timm's, got ${share.toExponential(2)} from it`);
  };
  const named = Object.keys(taps);
  if (named.toSorted().join() !== Object.keys(activations).toSorted().join())
    throw new Error(`expected activations ${Object.keys(activations)}, got ${named}`);
  named.forEach((name, i) => within(name, values[i]!, (activations as Readonly<Record<string, readonly number[]>>)[name]!, VALUE));
  const parameters = store.layout.parts.map(({ name }) => name);
  if (parameters.toSorted().join() !== Object.keys(expected).toSorted().join())
    throw new Error(`expected gradients of ${Object.keys(expected)}, got ${parameters}`);
  parameters.forEach((name, i) =>
    within(`gradient of ${name}`, values[named.length + i]!, (expected as Readonly<Record<string, readonly number[]>>)[name]!, GRADIENT),
  );
}

export const cases: Case[] = golden.models.map((model, i) => ({
  name: `vision transformer ${i + 1} of random switches: values and every parameter's gradient as timm's`,
  run: () => check(model),
}));

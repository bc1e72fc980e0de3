/** Small ResNets, in evaluation and in training mode, against what resnet.py recorded from timm. */
import { gradients } from "../../engine/autograd.ts";
import { scope } from "../../engine/memory.ts";
import { readAll, Tensor } from "../../engine/tensor.ts";
import { createModel } from "../../models/model.ts";
import { ParameterStore } from "../../models/params.ts";
import { close, type Case } from "../../checks/check.ts";
import { fill, fillInput, fillState } from "./fill.ts";
import { distance } from "./probe.ts";
import golden from "./resnet.json" with { type: "json" };

const VALUE = 1e-4,
  GRADIENT = 1e-3;

type Recorded = (typeof golden.small)[number] | (typeof golden.larger)[number];

async function check({ config, ...modes }: Recorded, mode: "eval" | "train", differentiated: boolean): Promise<void> {
  const { y, activations, gradients: expected, stats } = modes[mode];
  const model = createModel(config);
  const filled = fillState(model.params.map((s) => [s.name, s.shape]));
  const state = new Map(model.params.map((s) => [s.name, { shape: s.shape, data: filled.get(s.name)! }]));
  const store = new ParameterStore(model.name, model.params, state);
  const x = Tensor.from(fillInput(9 * config.imgSize ** 2), [3, ...model.imageShape]);
  const dy = Tensor.from(fill(y.flat().length, 1, 1), [3, y[0]!.length]);
  const taps: Record<string, Tensor> = {};
  const results = scope(() => {
    const { logits } = model.forward(store.tensors, x, { training: mode === "train", tap: (name, value) => (taps[name] = value) });
    return [logits, ...Object.values(taps), ...(differentiated ? gradients(logits, store.trained, dy) : [])];
  });
  const [logits, ...values] = (await readAll(results)) as Float32Array[];
  const moved = await store.state();
  for (const t of [x, dy, ...results]) t.dispose();
  store.dispose();
  y.flat().forEach((v, i) => close(`y[${i}]`, logits![i]!, v, VALUE * (1 + Math.abs(v))));
  const within = (what: string, got: Float32Array, probe: readonly number[], tol: number): void => {
    const share = distance(got, probe);
    if (!(share <= tol)) throw new Error(`${what}: expected timm's values within ${tol} of their norm, got ${share.toExponential(2)}`);
  };
  const own = [...Object.keys(taps), ...(differentiated ? store.layout.parts.map(({ name }) => name) : [])];
  const recorded: Readonly<Record<string, readonly number[]>> = { ...activations, ...(differentiated ? expected : {}) };
  if ([...own].sort().join() !== Object.keys(recorded).sort().join())
    throw new Error(`expected ${Object.keys(recorded).join()}, got ${own.join()}`);
  own.forEach((name, i) => within(name, values[i]!, recorded[name]!, name in activations ? VALUE : GRADIENT));
  for (const [name, probe] of Object.entries(stats)) within(name, moved.get(name)!.data, probe as number[], VALUE);
}

/** A case for each recorded network and mode. */
export const resnetCases = (networks: readonly Recorded[]): Case[] =>
  networks.flatMap((recorded) =>
    (["eval", "train"] as const).map((mode) => ({
      name: `resnet: ${recorded.config.block} of ${recorded.config.imgSize} pixels, ${mode === "train" ? "training" : "evaluation"}, every gradient, as timm's`,
      run: () => check(recorded, mode, true),
    })),
  );

/** Logits and activations in evaluation mode, without gradients, whose kernels take longest to compile. */
export const resnetForward = (networks: readonly Recorded[]): Case[] =>
  networks.map((recorded) => ({
    name: `resnet: ${recorded.config.block} of ${recorded.config.imgSize} pixels, logits and every stage, as timm's`,
    run: () => check(recorded, "eval", false),
  }));

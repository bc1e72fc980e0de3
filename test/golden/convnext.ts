/** ConvNeXts against what convnext.py recorded from timm: logits or features, every stage, every parameter's gradient. */
import { gradients } from "../../engine/autograd.ts";
import { scope } from "../../engine/memory.ts";
import { readAll, Tensor } from "../../engine/tensor.ts";
import type { Model } from "../../models/model.ts";
import { ParameterStore } from "../../models/params.ts";
import { close } from "../../checks/check.ts";
import { fill, fillInput, fillState } from "./fill.ts";
import { distance } from "./probe.ts";
import type golden from "./convnext.json";

const VALUE = 1e-4,
  GRADIENT = 1e-3;

type Recorded = Pick<(typeof golden.small)[number] | typeof golden.atto, "y" | "activations" | "gradients">;

/** The largest errors: of an output, and, as shares of a norm, of an activation and of a gradient. Throws where one is beyond what is allowed. */
export async function checkConvnext(model: Model, { y, activations, gradients: expected }: Recorded): Promise<readonly string[]> {
  const filled = fillState(model.params.map((s) => [s.name, s.shape]));
  const state = new Map(model.params.map((s) => [s.name, { shape: s.shape, data: filled.get(s.name)! }]));
  const store = new ParameterStore(model.name, model.params, state);
  const [B, K] = [y.length, y[0]!.length];
  const x = Tensor.from(fillInput(B * 3 * model.imageShape[1] ** 2), [B, ...model.imageShape]);
  const dy = Tensor.from(fill(B * K, 1, 1), [B, K]);
  const taps: Record<string, Tensor> = {};
  const results = scope(() => {
    const { logits } = model.forward(store.tensors, x, { training: true, tap: (name, value) => (taps[name] = value) });
    return [logits, ...Object.values(taps), ...gradients(logits, store.trained, dy)];
  });
  const [logits, ...values] = (await readAll(results)) as Float32Array[];
  for (const t of [x, dy, ...results]) t.dispose();
  const names = [...Object.keys(taps), ...store.layout.parts.map(({ name }) => name)];
  store.dispose();
  const recorded: Readonly<Record<string, readonly number[]>> = { ...activations, ...expected };
  if ([...names].sort().join() !== Object.keys(recorded).sort().join())
    throw new Error(`expected ${Object.keys(recorded).join()}, got ${names.join()}`);
  const worst = { value: 0, activation: 0, gradient: 0 };
  y.flat().forEach((v, i) => {
    close(`y[${i}]`, logits![i]!, v, VALUE * (1 + Math.abs(v)));
    worst.value = Math.max(worst.value, Math.abs(logits![i]! - v) / (1 + Math.abs(v)));
  });
  names.forEach((name, i) => {
    const [kind, tol] = name in activations ? (["activation", VALUE] as const) : (["gradient", GRADIENT] as const);
    const share = distance(values[i]!, recorded[name]!);
    if (!(share <= tol)) throw new Error(`${name}: expected timm's values within ${tol} of their norm, got ${share.toExponential(2)}`);
    worst[kind] = Math.max(worst[kind], share);
  });
  return Object.values(worst).map((error) => error.toExponential(1));
}

/** Models at their real size, weights and inputs by rule, against what family.py recorded from timm. */
import { gradients, noGrad } from "../../engine/autograd.ts";
import { record } from "../../engine/plan.ts";
import { place } from "../../kernels/shared/place.ts";
import { readAll, Tensor } from "../../engine/tensor.ts";
import { createModel, type Model } from "../../models/model.ts";
import { loadParams, ParameterStore, type State } from "../../models/params.ts";
import { distillationLoss } from "../../train/loss.ts";
import recorded from "./family.json" with { type: "json" };
import { fillInput, fillState } from "./fill.ts";
import { distance } from "./probe.ts";

interface Golden {
  readonly forward: Readonly<Record<string, { readonly logits: string; readonly activations: Readonly<Record<string, { readonly shape: readonly number[]; readonly probe: readonly number[] }>> }>>;
  readonly backward: Readonly<Record<string, { readonly loss: number; readonly gradients: Readonly<Record<string, readonly number[]>> }>>;
}

const golden = recorded as unknown as Golden;

export const forwardNames: readonly string[] = Object.keys(golden.forward);
export const backwardNames: readonly string[] = Object.keys(golden.backward);

export interface Values {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

export interface Forward {
  readonly model: Model;
  readonly logits: Float32Array;
  readonly activations: Readonly<Record<string, Values>>;
  readonly ms: number;
}

export interface Backward {
  readonly loss: number;
  readonly gradients: ReadonlyMap<string, Values>;
  readonly ms: number;
}

function filled(model: Model): State {
  const values = fillState(model.params.map((s) => [s.name, s.shape]));
  return new Map(model.params.map((s) => [s.name, { shape: s.shape, data: values.get(s.name)! }]));
}

function input(model: Model): Tensor {
  const shape = [2, ...model.imageShape];
  return Tensor.from(fillInput(shape.reduce((a, b) => a * b, 1)), shape);
}

/** Logits and activations of two images in evaluation mode. `ms` is of the run alone. */
export async function runForward(name: string): Promise<Forward> {
  const model = createModel(name);
  const params = loadParams(name, model.params, filled(model));
  const x = input(model);
  const wanted = golden.forward[name]!.activations;
  const plan = await record(() => noGrad(() => {
    const taps: Record<string, Tensor> = {};
    const { logits } = model.forward(params, x, { tap: (tapped, value) => { if (tapped in wanted) taps[tapped] = value; } });
    return { logits, ...taps } as Record<string, Tensor>;
  }));
  const startMs = performance.now();
  plan.run();
  await plan.idle();
  const ms = performance.now() - startMs;
  const names = Object.keys(plan.result);
  const values = (await readAll(Object.values(plan.result))) as Float32Array[];
  const { logits, ...activations } = Object.fromEntries(names.map((n, i) => [n, { shape: plan.result[n]!.shape, data: values[i]! }]));
  plan.dispose();
  for (const t of [x, ...Object.values(params)]) t.dispose();
  return { model, logits: logits!.data, activations, ms };
}

/** Loss and gradients in training mode: label smoothing 0.1 on classes 3 and 7; distilled, half of it and half the other head's
 *  cross-entropy with classes 11 and 500, which is hard distillation from a teacher that is sure of them. */
export async function runBackward(name: string): Promise<Backward> {
  const model = createModel(name);
  const store = new ParameterStore(name, model.params, filled(model));
  const x = input(model);
  const K = model.numClasses;
  const labels = Tensor.from([3, 7], [2], "u32");
  const teacher = Tensor.from(Float32Array.from({ length: 2 * K }, (_, i) => (i === 11 || i === K + 500 ? 1 : 0)), [2, K]);
  const plan = await record(() => {
    const { logitsCls, logitsDist } = model.forward(store.tensors, x, { training: true });
    const { loss } = distillationLoss({
      logits: logitsCls, logitsDist, labels, labelSmoothing: 0.1,
      kind: model.distilled ? "hard" : "none", teacherLogits: model.distilled ? teacher : null, alpha: 0.5, tau: 1, reduction: "numel",
    });
    const targets = store.gradTargets;
    gradients(loss, store.trained).forEach((grad, i) => place(grad, targets[i]!));
    return loss;
  });
  const startMs = performance.now();
  plan.run();
  await plan.idle();
  const ms = performance.now() - startMs;
  const loss = await plan.result.item();
  const found = await store.readFlat(store.grads);
  plan.dispose();
  for (const t of [x, labels, teacher]) t.dispose();
  store.dispose();
  return { loss, gradients: found, ms };
}

/** The worst of several differences, each a share of what it is measured by, and where it is. */
export interface Worst {
  readonly error: number;
  readonly of: string;
}

export const FORWARD_TOL = 1e-4, GRADIENT_TOL = 1e-3;

/** Throws where a logit is off by more than 1e-4 of 1 + its size, or an activation by more than 1e-4 of its norm. */
export function judgeForward(name: string, { logits, activations }: Forward): { logits: Worst; activations: Worst } {
  const expected = golden.forward[name]!;
  const bytes = Uint8Array.from(atob(expected.logits), (c) => c.charCodeAt(0));
  const rows = new Float32Array(bytes.buffer); // little-endian, as every machine here is
  sameNames(name, [...rows.keys()], [...logits.keys()]);
  sameNames(name, Object.keys(expected.activations), Object.keys(activations));
  for (const [tap, { shape }] of Object.entries(expected.activations)) sameNames(`shape of ${tap}`, shape, activations[tap]!.shape);
  return {
    logits: worst(name, FORWARD_TOL, [...rows].map((v, i) => [`logits[${i}]`, Math.abs(logits[i]! - v) / (1 + Math.abs(v))])),
    activations: worst(name, FORWARD_TOL, Object.entries(expected.activations).map(([tap, { probe }]) => [tap, distance(activations[tap]!.data, probe)])),
  };
}

/** Throws where the loss is off by more than 1e-4 of 1 + its size, or any parameter's gradient by more than 1e-3 of its norm. */
export function judgeBackward(name: string, { loss, gradients: found }: Backward): { loss: Worst; gradients: Worst } {
  const expected = golden.backward[name]!;
  sameNames(name, Object.keys(expected.gradients).sort(), [...found.keys()].sort());
  return {
    loss: worst(name, FORWARD_TOL, [["loss", Math.abs(loss - expected.loss) / (1 + expected.loss)]]),
    gradients: worst(name, GRADIENT_TOL, Object.entries(expected.gradients).map(([parameter, probe]) => [`gradient of ${parameter}`, distance(found.get(parameter)!.data, probe)])),
  };
}

function worst(name: string, tol: number, errors: readonly (readonly [of: string, error: number])[]): Worst {
  // Not a number counts as the worst.
  const [of, error] = errors.reduce((a, b) => (b[1] <= a[1] ? a : b));
  if (!(error <= tol)) throw new Error(`${name}: expected ${of} within ${tol.toExponential(0)} of timm's, got ${error.toExponential(2)}`);
  return { error, of };
}

function sameNames(what: string, expected: readonly (string | number)[], got: readonly (string | number)[]): void {
  if (String(expected) !== String(got)) throw new Error(`${what}: expected ${String(expected).slice(0, 200)}, got ${String(got).slice(0, 200)}`);
}

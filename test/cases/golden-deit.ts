/** DeiT at its real size against numbers recorded from timm: every weight and input is filled by rule (test/golden/fill.ts). */
import { gradients, noGrad } from "../../engine/autograd.ts";
import { place, record } from "../../engine/plan.ts";
import { readAll, Tensor } from "../../engine/tensor.ts";
import { createModel, type Model } from "../../models/model.ts";
import { loadParams, ParameterStore, type State } from "../../models/params.ts";
import { distillationLoss } from "../../train/loss.ts";
import { close, dot, type Case } from "../check.ts";
import { fillInput, fillState } from "../golden/fill.ts";
import golden from "../golden/deit-golden.json" with { type: "json" };

const TOL = 1e-4;

const near = (what: string, got: number, expected: number, tol = TOL) => close(what, got, expected, tol * (1 + Math.abs(expected)));

function filled(model: Model): State {
  const values = fillState(model.params.map((s) => [s.name, s.shape]));
  return new Map(model.params.map((s) => [s.name, { shape: s.shape, data: values.get(s.name)! }]));
}

const input = (model: Model): Tensor => {
  const shape = [2, ...model.imageShape];
  return Tensor.from(fillInput(shape.reduce((a, b) => a * b, 1)), shape);
};

interface Summary { readonly shape: readonly number[]; readonly first: readonly number[]; readonly mean: number; readonly rms: number }

function compare(what: string, values: Float32Array, shape: readonly number[], expected: Summary): void {
  if (String(shape) !== String(expected.shape)) throw new Error(`${what}: expected [${expected.shape}], got [${shape}]`);
  expected.first.forEach((v, i) => near(`${what}[${i}]`, values[i]!, v));
  near(`mean of ${what}`, values.reduce((a, b) => a + b, 0) / values.length, expected.mean);
  near(`rms of ${what}`, Math.sqrt(dot(values, values) / values.length), expected.rms);
}

async function checkForward(name: "deit_tiny_patch16_224" | "deit_tiny_distilled_patch16_224"): Promise<void> {
  const expected = golden[name];
  const model = createModel(name);
  if (model.params.length !== expected.ntensors) throw new Error(`${name}: expected ${expected.ntensors} tensors, got ${model.params.length}`);
  const params = loadParams(name, model.params, filled(model));
  const x = input(model);
  const summaries: Record<string, Summary> = { patch_embed: expected.act_patch, "blocks.0": expected.act_block0, "blocks.11": expected.act_block11, norm: expected.act_norm };
  const plan = await record(() => noGrad(() => {
    const taps: Record<string, Tensor> = {};
    const { logits } = model.forward(params, x, { tap: (tapped, value) => { if (tapped in summaries) taps[tapped] = value; } });
    return { ...taps, logits };
  }));
  plan.run();
  const names = Object.keys(plan.result);
  const values = (await readAll(Object.values(plan.result))) as Float32Array[];
  for (const t of [x, ...Object.values(params)]) t.dispose();

  for (const [tapped, summary] of Object.entries(summaries)) {
    const at = names.indexOf(tapped);
    compare(tapped, values[at]!, Object.values(plan.result)[at]!.shape, summary);
  }
  plan.dispose();
  const logits = values[names.indexOf("logits")]!;
  [expected.logits0, expected.logits1].forEach((row, b) => {
    const own = logits.subarray(b * model.numClasses, (b + 1) * model.numClasses);
    row.forEach((v, i) => near(`logits[${b}][${i}]`, own[i]!, v));
    near(`sum of logits[${b}]`, own.reduce((a, v) => a + v, 0), expected.sum[b]!, 1e-3); // 1000 roundings of 1e-6 in the recorded rows
    const argmax = own.indexOf(Math.max(...own));
    if (argmax !== expected.argmax[b]) throw new Error(`argmax of logits[${b}]: expected ${expected.argmax[b]}, got ${argmax}`);
  });
}

async function checkGradients(name: "deit_tiny_patch16_224" | "deit_tiny_distilled_patch16_224"): Promise<void> {
  const expected = golden[name];
  const model = createModel(name);
  const store = new ParameterStore(name, model.params, filled(model));
  const x = input(model);
  const labels = Tensor.from([3, 7], [2], "u32");
  // The recorded second term is the cross-entropy with classes 11 and 500: hard distillation from a teacher that is sure of them.
  const teacher = Tensor.from(Float32Array.from({ length: 2 * model.numClasses }, (_, i) => (i === 11 || i === model.numClasses + 500 ? 1 : 0)), [2, model.numClasses]);
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
  plan.run();
  const loss = await plan.result.item();
  const grads = await store.readFlat(store.grads);
  plan.dispose();
  for (const t of [x, labels, teacher]) t.dispose();
  store.dispose();

  near("loss", loss, expected.loss);
  const norm = (g: Float32Array) => Math.sqrt(dot(g, g));
  for (const [parameter, [length, first]] of Object.entries(expected.grads)) {
    const { data } = grads.get(parameter)!;
    near(`norm of the gradient of ${parameter}`, norm(data), length!);
    near(`gradient of ${parameter}[0]`, data[0]!, first!);
  }
  near("norm of all gradients", Math.hypot(...[...grads.values()].map(({ data }) => norm(data))), expected.gnorm);
}

export const cases: Case[] = (["deit_tiny_patch16_224", "deit_tiny_distilled_patch16_224"] as const).flatMap((name) => [
  { name: `${name}: logits and activations as timm's`, run: () => checkForward(name) },
  { name: `${name}: loss and gradients as timm's`, run: () => checkGradients(name) },
]);

/** RegNetY-400MF at its real size against numbers recorded from timm: every weight and input is filled by rule (test/golden/fill.ts). */
import { noGrad } from "../../engine/autograd.ts";
import { record } from "../../engine/plan.ts";
import { readAll, Tensor } from "../../engine/tensor.ts";
import { createModel } from "../../models/model.ts";
import { loadParams } from "../../models/params.ts";
import { close, dot, type Case } from "../check.ts";
import { fillInput, fillState } from "../golden/fill.ts";
import golden from "../golden/deit-golden.json" with { type: "json" };

const near = (what: string, got: number, expected: number, tol = 1e-4) => close(what, got, expected, tol * (1 + Math.abs(expected)));

async function checkForward(): Promise<void> {
  const expected = golden.regnety_004;
  const model = createModel("regnety_004");
  if (model.params.length !== expected.ntensors) throw new Error(`expected ${expected.ntensors} tensors, got ${model.params.length}`);
  const values = fillState(model.params.map((s) => [s.name, s.shape]));
  const params = loadParams(model.name, model.params, new Map(model.params.map((s) => [s.name, { shape: s.shape, data: values.get(s.name)! }])));
  const shape = [2, ...model.imageShape];
  const x = Tensor.from(fillInput(shape.reduce((a, b) => a * b, 1)), shape);
  const plan = await record(() => noGrad(() => {
    const taps: Record<string, Tensor> = {};
    const { logits } = model.forward(params, x, { tap: (name, value) => { taps[name] = value; } });
    return { ...taps, logits };
  }));
  plan.run();
  const tensors: Record<string, Tensor> = plan.result;
  const names = Object.keys(tensors);
  const found = Object.fromEntries(((await readAll(Object.values(tensors))) as Float32Array[]).map((v, i) => [names[i]!, v]));
  const shapes = Object.fromEntries(names.map((n) => [n, tensors[n]!.shape]));
  plan.dispose();
  for (const t of [x, ...Object.values(params)]) t.dispose();

  for (const [name, own] of Object.entries({ stem: expected.act_stem, s1: expected.act_s1, s2: expected.act_s2, s3: expected.act_s3, s4: expected.act_s4 })) {
    const v = found[name]!;
    if (String(shapes[name]) !== String(own.shape)) throw new Error(`${name}: expected [${own.shape}], got [${shapes[name]}]`);
    own.first.forEach((value, i) => near(`${name}[${i}]`, v[i]!, value));
    near(`mean of ${name}`, v.reduce((a, b) => a + b, 0) / v.length, own.mean);
    near(`rms of ${name}`, Math.sqrt(dot(v, v) / v.length), own.rms);
  }
  [expected.logits0, expected.logits1].forEach((row, b) => {
    const own = found["logits"]!.subarray(b * model.numClasses, (b + 1) * model.numClasses);
    row.forEach((v, i) => near(`logits[${b}][${i}]`, own[i]!, v));
    near(`sum of logits[${b}]`, own.reduce((a, v) => a + v, 0), expected.sum[b]!, 1e-3);
    const argmax = own.indexOf(Math.max(...own));
    if (argmax !== expected.argmax[b]) throw new Error(`argmax of logits[${b}]: expected ${expected.argmax[b]}, got ${argmax}`);
  });
}

export const cases: Case[] = [{ name: "regnety_004: logits and activations as timm's", run: checkForward }];

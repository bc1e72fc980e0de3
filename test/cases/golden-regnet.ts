/**
 * RegNetY-400MF at its real size against numbers recorded from timm: every weight and input is filled by rule (test/golden/fill.ts). Twice: a
 * few numbers of one recording (deit-golden.json), and all of another made apart from it (family.json).
 */
import { close, dot, type Case } from "../../checks/check.ts";
import golden from "../golden/deit-golden.json" with { type: "json" };
import { judgeForward, runForward } from "../golden/family.ts";

const near = (what: string, got: number, expected: number, tol = 1e-4) => close(what, got, expected, tol * (1 + Math.abs(expected)));

async function checkForward(): Promise<void> {
  const expected = golden.regnety_004;
  const result = await runForward("regnety_004");
  judgeForward("regnety_004", result);
  const { model, logits, activations } = result;
  if (model.params.length !== expected.ntensors) throw new Error(`expected ${expected.ntensors} tensors, got ${model.params.length}`);
  for (const [name, own] of Object.entries({
    stem: expected.act_stem,
    s1: expected.act_s1,
    s2: expected.act_s2,
    s3: expected.act_s3,
    s4: expected.act_s4,
  })) {
    const { data, shape } = activations[name]!;
    if (String(shape) !== String(own.shape)) throw new Error(`${name}: expected [${own.shape}], got [${shape}]`);
    own.first.forEach((value, i) => near(`${name}[${i}]`, data[i]!, value));
    near(`mean of ${name}`, data.reduce((a, b) => a + b, 0) / data.length, own.mean);
    near(`rms of ${name}`, Math.sqrt(dot(data, data) / data.length), own.rms);
  }
  [expected.logits0, expected.logits1].forEach((row, b) => {
    const own = logits.subarray(b * model.numClasses, (b + 1) * model.numClasses);
    row.forEach((v, i) => near(`logits[${b}][${i}]`, own[i]!, v));
    near(
      `sum of logits[${b}]`,
      own.reduce((a, v) => a + v, 0),
      expected.sum[b]!,
      1e-3,
    );
    const argmax = own.indexOf(Math.max(...own));
    if (argmax !== expected.argmax[b]) throw new Error(`argmax of logits[${b}]: expected ${expected.argmax[b]}, got ${argmax}`);
  });
}

export const cases: Case[] = [{ name: "regnety_004: logits and every stage's activations as timm's", long: true, run: checkForward }];

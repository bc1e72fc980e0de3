/**
 * DeiT-Ti at its real size, plain and distilled, against numbers recorded from timm: every weight and input is filled by rule
 * (test/golden/fill.ts). Twice: a few numbers of one recording (deit-golden.json), and all of another made apart from it (family.json).
 */
import { close, dot, type Case } from "../../checks/check.ts";
import golden from "../golden/deit-golden.json" with { type: "json" };
import { judgeBackward, judgeForward, runBackward, runForward } from "../golden/family.ts";

const TOL = 1e-4;

const near = (what: string, got: number, expected: number, tol = TOL) => close(what, got, expected, tol * (1 + Math.abs(expected)));

interface Summary {
  readonly shape: readonly number[];
  readonly first: readonly number[];
  readonly mean: number;
  readonly rms: number;
}

function compare(what: string, values: Float32Array, shape: readonly number[], expected: Summary): void {
  if (String(shape) !== String(expected.shape)) throw new Error(`${what}: expected [${expected.shape}], got [${shape}]`);
  expected.first.forEach((v, i) => near(`${what}[${i}]`, values[i]!, v));
  near(`mean of ${what}`, values.reduce((a, b) => a + b, 0) / values.length, expected.mean);
  near(`rms of ${what}`, Math.sqrt(dot(values, values) / values.length), expected.rms);
}

type Name = "deit_tiny_patch16_224" | "deit_tiny_distilled_patch16_224";

async function checkForward(name: Name): Promise<void> {
  const expected = golden[name];
  const result = await runForward(name);
  judgeForward(name, result);
  const { model, logits, activations } = result;
  if (model.params.length !== expected.ntensors)
    throw new Error(`${name}: expected ${expected.ntensors} tensors, got ${model.params.length}`);
  const summaries: Record<string, Summary> = {
    patch_embed: expected.act_patch,
    "blocks.0": expected.act_block0,
    "blocks.11": expected.act_block11,
    norm: expected.act_norm,
  };
  for (const [tapped, summary] of Object.entries(summaries))
    compare(tapped, activations[tapped]!.data, activations[tapped]!.shape, summary);
  [expected.logits0, expected.logits1].forEach((row, b) => {
    const own = logits.subarray(b * model.numClasses, (b + 1) * model.numClasses);
    row.forEach((v, i) => near(`logits[${b}][${i}]`, own[i]!, v));
    near(
      `sum of logits[${b}]`,
      own.reduce((a, v) => a + v, 0),
      expected.sum[b]!,
      1e-3,
    ); // 1000 roundings of 1e-6 in the recorded rows
    const argmax = own.indexOf(Math.max(...own));
    if (argmax !== expected.argmax[b]) throw new Error(`argmax of logits[${b}]: expected ${expected.argmax[b]}, got ${argmax}`);
  });
}

async function checkGradients(name: Name): Promise<void> {
  const expected = golden[name];
  const result = await runBackward(name);
  judgeBackward(name, result);
  const { loss, gradients: grads } = result;
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
  { name: `${name}: logits and every block's activations as timm's`, run: () => checkForward(name) },
  {
    name: `${name}: loss and every parameter's gradient as timm's`,
    long: name === "deit_tiny_patch16_224",
    run: () => checkGradients(name),
  },
]);

/** The commands `forward`, `grad` and `step`, from file to file, against numbers recorded from timm (test/golden/models.json). */
import type { Host } from "../../jobs/host.ts";
import forwardJob, { readModel } from "../../jobs/forward.ts";
import gradJob, { type GradArgs } from "../../jobs/grad.ts";
import stepJob from "../../jobs/step.ts";
import { parseSafetensors, writeSafetensors, type SafeTensor } from "../../models/checkpoints/safetensors.ts";
import { close, dot, type Case, type Values } from "../../checks/check.ts";
import { fill, fillInput, fillState } from "../golden/fill.ts";
import golden from "../golden/models.json" with { type: "json" };
import { memoryHost, type MemoryHost } from "../memory-host.ts";

const TOL = 1e-4;

interface Summary {
  readonly first: readonly number[];
  readonly norm?: number;
  readonly mean?: number;
  readonly rms?: number;
}
interface Group {
  readonly tensors: readonly (readonly (string | number[])[])[];
  readonly input: { readonly shape: number[] };
  readonly labels: readonly number[];
  readonly teacher?: { readonly k: number; readonly amp: number; readonly shape: number[] };
}

const count = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);
const f32 = (shape: readonly number[], data: Float32Array): SafeTensor => ({ dtype: "F32", shape, data }) as SafeTensor;

/** The group's weights as a file, and its batch. */
function filesOf({ tensors, input, labels, teacher }: Group): MemoryHost {
  const entries = tensors as readonly (readonly [string, readonly number[]])[];
  const state = fillState(entries);
  return memoryHost({
    weights: writeSafetensors(new Map(entries.map(([name, shape]) => [name, f32(shape, state.get(name)!)]))),
    in: writeSafetensors(
      new Map<string, SafeTensor>([
        ["x", f32(input.shape, fillInput(count(input.shape)))],
        ["labels", { dtype: "I64", shape: [labels.length], data: BigInt64Array.from(labels, BigInt) } as SafeTensor],
        ...(teacher ? [["teacher_logits", f32(teacher.shape, fill(count(teacher.shape), teacher.k, teacher.amp))] as const] : []),
      ]),
    ),
  });
}

type Out = ReadonlyMap<string, SafeTensor>;

async function out(host: MemoryHost, job: (host: Host) => Promise<unknown>): Promise<Out> {
  await job(host);
  return parseSafetensors(host.files.get("out")!).tensors;
}

const values = (tensors: Out, name: string): Float32Array => {
  const tensor = tensors.get(name);
  if (!tensor) throw new Error(`expected a tensor ${name}, got ${[...tensors.keys()].join(", ")}`);
  return tensor.data as Float32Array;
};

function same(what: string, got: Values, expected: Values, tol = TOL): void {
  if (got.length !== expected.length) throw new Error(`${what}: expected ${expected.length} values, got ${got.length}`);
  for (let i = 0; i < got.length; i++) close(`${what}[${i}]`, got[i]!, expected[i]!, tol * (1 + Math.abs(expected[i]!)));
}

function summary(what: string, got: Float32Array, { first, norm, mean, rms }: Summary, tol = TOL): void {
  same(what, got.subarray(0, first.length), first, tol);
  if (norm !== undefined) same(`norm of ${what}`, [Math.sqrt(dot(got, got))], [norm], tol);
  if (mean !== undefined) same(`mean of ${what}`, [got.reduce((a, v) => a + v, 0) / got.length], [mean], tol);
  if (rms !== undefined) same(`rms of ${what}`, [Math.sqrt(dot(got, got) / got.length)], [rms], tol);
}

// No gradient reaches the key third of a qkv bias but rounding, of which Adam makes steps: the recorded norms leave it out.
const recordedPart = (name: string, data: Float32Array): Float32Array =>
  name.endsWith("qkv.bias") ? Float32Array.of(...data.slice(0, data.length / 3), ...data.slice((2 * data.length) / 3)) : data;

const noDistillation = { distillation: "none", alpha: 0.5, tau: 1, reduction: "numel", labelSmoothing: 0.1 } as const;
const { deit_distilled: distilled, regnety } = golden;
const paths = { weights: "weights", in: "in", out: "out" } as const;
type Kind = GradArgs["distillation"];

export const cases: Case[] = [
  {
    name: "forward: a distilled DeiT, all its outputs and activations",
    async run() {
      const tensors = await out(filesOf(distilled), (host) => forwardJob(host, { ...paths, model: distilled.config, activations: true }));

      for (const name of ["logits", "logits_cls", "logits_dist"] as const) same(name, values(tensors, name), distilled[name].flat());
      for (const [name, expected] of Object.entries(distilled.activations)) summary(name, values(tensors, name), expected);
    },
  },
  {
    name: "forward: a RegNetY in evaluation mode",
    async run() {
      const tensors = await out(filesOf(regnety), (host) => forwardJob(host, { ...paths, model: regnetConfig(), activations: true }));
      same("logits", values(tensors, "logits"), regnety.eval.logits.flat());
      for (const [name, expected] of Object.entries(regnety.eval.activations)) summary(name, values(tensors, name), expected);
    },
  },
  ...distilled.runs.map((run) => ({
    name: `grad and step: a distilled DeiT, distillation ${run.distillation}`,
    async run() {
      const host = filesOf(distilled);
      const args = {
        ...noDistillation,
        ...paths,
        model: distilled.config,
        distillation: run.distillation as Kind,
        alpha: run.alpha,
        tau: run.tau,
      };
      const grads = await out(host, (h) => gradJob(h, args));
      same("loss", values(grads, "loss"), [run.loss]);
      for (const [name, expected] of Object.entries(run.grads)) summary(`grad.${name}`, values(grads, `grad.${name}`), expected);
      if (grads.size !== 1 + distilled.tensors.length)
        throw new Error(`expected loss and ${distilled.tensors.length} gradients, got ${grads.size} tensors`);

      const { count: steps, lr, weightDecay, losses, after } = run.steps;
      const stepped = await out(host, (h) => stepJob(h, { ...args, steps, lr, weightDecay }));
      same("losses", values(stepped, "losses"), losses);
      for (const [name, expected] of Object.entries(after)) {
        const data = values(stepped, name);
        same(name, data.subarray(0, expected.first.length), expected.first);
        summary(name, recordedPart(name, data), { first: [], norm: expected.norm });
      }
    },
  })),
  {
    name: "grad: a RegNetY in training mode",
    long: true,
    async run() {
      const grads = await out(filesOf(regnety), (host) => gradJob(host, { ...noDistillation, ...paths, model: regnetConfig() }));
      same("loss", values(grads, "loss"), [regnety.train.loss]);
      for (const [name, expected] of Object.entries(regnety.train.grads))
        summary(`grad.${name}`, values(grads, `grad.${name}`), expected, 2e-4);
    },
  },
  {
    name: "forward, grad, step: a name alone leaves the number of classes to the weights",
    async run() {
      const host = filesOf(distilled);
      const head = { dtype: "F32", shape: [7, 192], data: new Float32Array(7 * 192) } as const;
      host.files.set("seven", writeSafetensors([["head.weight", head]]));
      const { model } = await readModel(host, { model: "vit_tiny_patch16_224", weights: "seven" });
      if (model.numClasses !== 7) throw new Error(`expected 7 classes, got ${model.numClasses}`);
    },
  },
  {
    name: "grad and forward: refuse weights that lack tensors, labels out of range, and distillation of a plain model",
    async run() {
      const host = filesOf(distilled);
      const weights = parseSafetensors(host.files.get("weights")!).tensors;
      host.files.set("less", writeSafetensors(new Map([...weights].filter(([name]) => name !== "norm.bias"))));
      const grad = (changes: Partial<GradArgs>) => () =>
        gradJob(host, { ...noDistillation, ...paths, model: distilled.config, ...changes });
      await refused(grad({ weights: "less" }), /^expected the 35 tensors of this model, got missing: norm\.bias \[\d+\] \(less\)$/);
      await refused(grad({ model: { ...distilled.config, numClasses: 7 } }), /^expected labels in \[0, 6\], got 7$/);
      await refused(
        grad({ model: { ...distilled.config, distilled: false }, distillation: "hard" }),
        /^expected a model with a distillation token for --distillation hard/,
      );
      await refused(grad({ model: { ...distilled.config, colour: 1 } }), /^expected arch, .*, got "colour"$/);
      await refused(
        () => forwardJob(host, { ...paths, in: "weights", model: distilled.config }),
        /^expected tensors x, .* in weights, got blocks\.0/,
      );
    },
  },
];

/** The recorded config in the names of models/regnet.ts. */
function regnetConfig() {
  const { group, stem, ...same } = regnety.config;
  return { ...same, groupWidth: group, stemWidth: stem, imgSize: regnety.input.shape[2]! };
}

async function refused(body: () => Promise<unknown>, message: RegExp): Promise<void> {
  try {
    await body();
  } catch (error) {
    if ((error as Error).name === "UsageError" && message.test((error as Error).message)) return;
    throw new Error(`expected a UsageError like ${message}, got ${(error as Error).name}: ${(error as Error).message}`);
  }
  throw new Error(`expected a UsageError like ${message}, got none`);
}

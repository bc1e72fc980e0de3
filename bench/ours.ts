/** Our side, as a user writes it: a step recorded once, then replayed. */
import { gradients } from "../engine/autograd.ts";
import { getDevice } from "../engine/device.ts";
import { ops } from "../checks/catalog.ts";
import { differentiable } from "../checks/op.ts";
import { record, type Plan } from "../engine/plan.ts";
import { place } from "../kernels/shared/place.ts";
import { Scalars } from "../kernels/shared/scalars.ts";
import { readAll, Tensor } from "../engine/tensor.ts";
import { adamwStep } from "../kernels/optim/adamw.ts";
import { deit } from "../models/deit.ts";
import { loadParams, ParameterStore } from "../models/params.ts";
import { regnet } from "../models/regnet.ts";
import { distillationLoss } from "../train/loss.ts";
import { Optimizer, optimizerScalars } from "../train/optimizer.ts";
import { makeRecipe } from "../train/recipe.ts";
import { modelParams, type Inputs, type KernelWork, type TrainWork, type Work } from "./benchmark.ts";
import type { Contender, Prepared } from "./contender.ts";
import { profile } from "../train/profile.ts";

type Tensors = Readonly<Record<string, Tensor>>;

export const ours = (version: string): Contender => ({
  name: "ours",
  version,
  flags: {},
  async prepare({ work, backward }, inputs) {
    const before = getDevice().stats.bytesLive;
    const prepared = await ("sizes" in work
      ? kernel(work, backward, inputs)
      : work.op === "train"
        ? training(work, inputs)
        : work.op === "forward"
          ? inference(work, inputs)
          : update(work, inputs));
    return { ...prepared, bytes: () => getDevice().stats.bytesLive - before };
  },
});

async function kernel(work: KernelWork, backward: boolean, inputs: Inputs): Promise<Prepared> {
  const op = ops[work.op]!;
  const tensors = Object.fromEntries(
    Object.entries(work.inputs).map(([name, shape]) => [
      name,
      op.inputs[name]!.buffer ? Tensor.zeros(shape) : uploadOne(inputs, name, op.inputs[name]!.bytes),
    ]),
  );
  const dy = backward ? uploadOne(inputs, "dy") : null;
  const wanted = differentiable(op).flatMap((name) => tensors[name] ?? []);
  for (const t of wanted) t.requiresGrad = backward;
  const plan = await record(() => {
    const y = op.run(tensors, work.attrs, undefined)["y"]!;
    return dy ? [y, ...gradients(y, wanted, dy)] : [y];
  });
  return prepared(plan, plan.result, () => disposeAll({ ...tensors, ...(dy ? { dy } : {}) }));
}

async function update({ count: n, recipe }: Extract<Work, { op: "adamw" }>, inputs: Inputs): Promise<Prepared> {
  const params = uploadOne(inputs, "params"),
    grads = uploadOne(inputs, "grads");
  const m = Tensor.zeros([n]),
    v = Tensor.zeros([n]);
  const scalars = new Scalars({ lr: "f32", bias1: "f32", bias2: "f32" });
  const { lr, beta1, beta2, eps, weightDecay } = recipe;
  const at = { lr: scalars.at("lr"), bias1: scalars.at("bias1"), bias2: scalars.at("bias2") };
  const plan = await record(() => adamwStep({ params, grads, m, v }, { ...at, beta1, beta2, eps, weightDecay, decayed: n }));
  let t = 0;
  const next = () => {
    t++;
    scalars.set({ lr, bias1: 1 - beta1 ** t, bias2: 1 - beta2 ** t });
  };
  return prepared(plan, [params], () => disposeAll({ params, grads, m, v, scalars: scalars.tensor }), next);
}

async function inference({ config }: Extract<Work, { op: "forward" }>, inputs: Inputs): Promise<Prepared> {
  const specs = modelParams(config);
  const params = loadParams("bench", specs, stateOf(specs, inputs));
  const x = uploadOne(inputs, "x");
  const plan = await record(() => (config.arch === "deit" ? deit(params, x, config).logits : regnet(params, x, config)));
  return prepared(plan, [plan.result], () => disposeAll({ ...params, x }));
}

async function training({ B, config, recipe }: TrainWork, inputs: Inputs): Promise<Prepared> {
  const specs = modelParams(config);
  const store = new ParameterStore("bench", specs, stateOf(specs, inputs));
  const settings = makeRecipe({ ...recipe, batchSize: B, emaDecay: null });
  const optimizer = new Optimizer(settings, store);
  const scalars = new Scalars(optimizerScalars);
  const x = uploadOne(inputs, "x"),
    target = uploadOne(inputs, "target");
  const teacherLogits = recipe.distillation === "none" ? null : uploadOne(inputs, "teacherLogits");
  const plan = await record(() => {
    const { logitsCls, logitsDist } = deit(store.tensors, x, config);
    const { loss } = distillationLoss({
      logits: logitsCls,
      logitsDist,
      target,
      teacherLogits,
      kind: recipe.distillation,
      alpha: settings.alpha,
      tau: settings.tau,
      reduction: settings.reduction,
    });
    const targets = store.gradTargets;
    gradients(loss, store.trained).forEach((grad, i) => place(grad, targets[i]!));
    return { loss, norm: optimizer.step(scalars) };
  });
  let t = 0;
  const dispose = () => {
    optimizer.dispose();
    store.dispose();
    disposeAll({ x, target, scalars: scalars.tensor, ...(teacherLogits ? { teacherLogits } : {}) });
  };
  return prepared(plan, [plan.result.loss], dispose, () => scalars.set(optimizer.scalarsAt(++t, recipe.lr)));
}

/** WebGPU's queries come in sets of 4096, two to a launch. */
const MOST_TIMED = 2048;

function prepared(plan: Plan<unknown>, results: readonly Tensor[], dispose: () => void, beforeRun?: () => void): Prepared {
  const timed = getDevice().features.has("timestamp-query") && plan.launches <= MOST_TIMED;
  return {
    async run(times) {
      for (let i = 0; i < times; i++) {
        beforeRun?.();
        plan.run();
      }
      await plan.idle();
    },
    result: async () => (await readAll(results)) as Float32Array[],
    launches: plan.launches,
    async threadMs() {
      const fromMs = performance.now();
      beforeRun?.();
      plan.run();
      const ms = performance.now() - fromMs;
      await plan.idle();
      return ms;
    },
    ...(timed ? { gpuMs: async () => (await profile(plan)).reduce((sum, { ms }) => sum + ms, 0), profile: () => profile(plan) } : {}),
    dispose() {
      plan.dispose();
      dispose();
    },
  };
}

function uploadOne(inputs: Inputs, name: string, bytes = false): Tensor {
  const { data, shape } = inputs.get(name)!;
  return Tensor.from(data, shape, bytes ? "u8" : "f32");
}

/** The parameters among a model's inputs. */
const stateOf = (params: readonly { readonly name: string }[], inputs: Inputs): Inputs =>
  new Map(params.map(({ name }) => [name, inputs.get(name)!]));

function disposeAll(tensors: Tensors): void {
  for (const t of Object.values(tensors)) t.dispose();
}

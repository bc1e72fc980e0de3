/** Our side, as a user writes it: a step recorded once, then replayed. */
import { gradients } from "../engine/autograd.ts";
import { place, record, type Plan } from "../engine/plan.ts";
import { Scalars } from "../engine/scalars.ts";
import { readAll, Tensor } from "../engine/tensor.ts";
import { attention } from "../kernels/attention.ts";
import { conv2d } from "../kernels/conv2d.ts";
import { gelu } from "../kernels/elementwise.ts";
import { layerNorm } from "../kernels/layer-norm.ts";
import { linear } from "../kernels/linear.ts";
import { matmul } from "../kernels/matmul.ts";
import { softmax } from "../kernels/softmax.ts";
import { deit, deitParams } from "../models/deit.ts";
import { loadParams, ParameterStore } from "../models/params.ts";
import { distillationLoss } from "../train/loss.ts";
import { Optimizer, optimizerScalars } from "../train/optimizer.ts";
import { makeRecipe } from "../train/recipe.ts";
import type { Inputs, Work } from "./cases.ts";
import type { Contender, Prepared } from "./contender.ts";

type Model = Extract<Work, { readonly op: "forward" | "train" }>;
type Kernel = Exclude<Work, Model>;
type Tensors = Readonly<Record<string, Tensor>>;

export const ours = (version: string): Contender => ({
  name: "ours", version, flags: {},
  prepare: ({ work, backward }, inputs) =>
    work.op === "train" ? training(work, inputs) : work.op === "forward" ? inference(work, inputs) : kernel(work, backward, inputs),
});

function compute(work: Kernel, t: Tensors): Tensor {
  switch (work.op) {
    case "matmul": return matmul(t["a"]!, t["b"]!);
    case "linear": return linear(t["x"]!, t["weight"]!, t["bias"]!);
    case "softmax": return softmax(t["x"]!);
    case "gelu": return gelu(t["x"]!);
    case "layerNorm": return layerNorm(t["x"]!, t["weight"]!, t["bias"]!, { eps: 1e-6 });
    case "attention": return attention(t["q"]!, t["k"]!, t["v"]!);
    case "conv2d": return conv2d(t["x"]!, t["weight"]!, null, { stride: work.stride, padding: work.padding });
  }
}

async function kernel(work: Kernel, backward: boolean, inputs: Inputs): Promise<Prepared> {
  const tensors = upload(inputs);
  const wanted = Object.entries(tensors).flatMap(([name, t]) => (name === "dy" ? [] : [t]));
  for (const t of wanted) t.requiresGrad = backward;
  const plan = await record(() => {
    const y = compute(work, tensors);
    return backward ? [y, ...gradients(y, wanted, tensors["dy"]!)] : [y];
  });
  return prepared(plan, plan.result, () => disposeAll(tensors));
}

async function inference({ config }: Model, inputs: Inputs): Promise<Prepared> {
  const specs = deitParams(config);
  const params = loadParams("bench", specs, stateOf(specs, inputs));
  const x = uploadOne(inputs, "x");
  const plan = await record(() => deit(params, x, config).logits);
  return prepared(plan, [plan.result], () => disposeAll({ ...params, x }));
}

async function training({ B, config, recipe }: Extract<Work, { op: "train" }>, inputs: Inputs): Promise<Prepared> {
  const specs = deitParams(config);
  const store = new ParameterStore("bench", specs, stateOf(specs, inputs));
  const settings = makeRecipe({ ...recipe, batchSize: B, emaDecay: null });
  const optimizer = new Optimizer(settings, store);
  const scalars = new Scalars(optimizerScalars);
  const batch = { x: uploadOne(inputs, "x"), target: uploadOne(inputs, "target"), teacherLogits: uploadOne(inputs, "teacherLogits") };
  const plan = await record(() => {
    const { logitsCls, logitsDist } = deit(store.tensors, batch.x, config);
    const { loss } = distillationLoss({
      logits: logitsCls, logitsDist, target: batch.target, teacherLogits: batch.teacherLogits,
      kind: settings.distillation, alpha: settings.alpha, tau: settings.tau, reduction: settings.reduction,
    });
    const targets = store.gradTargets;
    gradients(loss, store.trained).forEach((grad, i) => place(grad, targets[i]!));
    return { loss, norm: optimizer.step(scalars) };
  });
  let t = 0;
  const dispose = () => {
    optimizer.dispose();
    store.dispose();
    disposeAll({ ...batch, scalars: scalars.tensor });
  };
  return prepared(plan, [plan.result.loss], dispose, () => scalars.set(optimizer.scalarsAt(++t, recipe.lr)));
}

function prepared(plan: Plan<unknown>, results: readonly Tensor[], dispose: () => void, beforeRun?: () => void): Prepared {
  return {
    async run(times) {
      for (let i = 0; i < times; i++) {
        beforeRun?.();
        plan.run();
      }
      await plan.idle();
    },
    result: async () => (await readAll(results)) as Float32Array[],
    dispose() {
      plan.dispose();
      dispose();
    },
  };
}

function uploadOne(inputs: Inputs, name: string): Tensor {
  const { data, shape } = inputs.get(name)!;
  return Tensor.from(data, shape);
}

const upload = (inputs: Inputs): Tensors => Object.fromEntries([...inputs.keys()].map((name) => [name, uploadOne(inputs, name)]));

/** The parameters among a model's inputs. */
const stateOf = (params: readonly { readonly name: string }[], inputs: Inputs): Inputs => new Map(params.map(({ name }) => [name, inputs.get(name)!]));

function disposeAll(tensors: Tensors): void {
  for (const t of Object.values(tensors)) t.dispose();
}

/** A small RegNetY against numbers recorded from timm: evaluation with its gradients, and steps of training with running statistics. */
import { gradients } from "../../engine/autograd.ts";
import { record } from "../../engine/plan.ts";
import { place } from "../../kernels/shared/place.ts";
import { constant } from "../../kernels/shared/scalars.ts";
import { Tensor } from "../../engine/tensor.ts";
import { crossEntropy } from "../../kernels/cross-entropy.ts";
import { sgdStep } from "../../kernels/optim/sgd.ts";
import { ParameterStore } from "../../models/params.ts";
import { regnet, regnetConfig, regnetParams, type RegNetConfig } from "../../models/regnet.ts";
import { close, dot, refuses, type Case } from "../../checks/check.ts";
import { fillInput, fillState } from "../golden/fill.ts";
import recorded from "../golden/models.json" with { type: "json" };

const golden = recorded.regnety;
const { group, stem, depth, w0, wa, wm, seRatio, numClasses } = golden.config;
const config: RegNetConfig = {
  ...regnetConfig("regnety_002")!,
  depth,
  w0,
  wa,
  wm,
  seRatio,
  numClasses,
  groupWidth: group,
  stemWidth: stem,
};
const specs = regnetParams(config);

const near = (what: string, got: number, expected: number, tol = 1e-4) => close(what, got, expected, tol * (1 + Math.abs(expected)));
const norm = (v: Float32Array) => Math.sqrt(dot(v, v));

interface Recorded {
  readonly norm: number;
  readonly first: readonly number[];
}

function same(what: string, got: Float32Array, expected: Recorded, tol?: number): void {
  expected.first.forEach((v, i) => near(`${what}[${i}]`, got[i]!, v, tol));
  near(`norm of ${what}`, norm(got), expected.norm, tol);
}

/** Loss and gradients of the recorded batch as a plan; `then` may add launches. */
async function setUp(training: boolean, then?: (store: ParameterStore) => void) {
  const values = fillState(specs.map((s) => [s.name, s.shape]));
  const store = new ParameterStore("regnety", specs, new Map(specs.map((s) => [s.name, { shape: s.shape, data: values.get(s.name)! }])));
  const x = Tensor.from(fillInput(golden.input.shape.reduce((a, b) => a * b, 1)), golden.input.shape);
  const labels = Tensor.from(golden.labels, [golden.labels.length], "u32");
  const plan = await record(() => {
    const logits = regnet(store.tensors, x, config, { training });
    const loss = crossEntropy(logits, labels, { labelSmoothing: golden.labelSmoothing });
    const targets = store.gradTargets;
    gradients(loss, store.trained).forEach((grad, i) => place(grad, targets[i]!));
    then?.(store);
    return { logits, loss };
  });
  const dispose = () => {
    plan.dispose();
    store.dispose();
    x.dispose();
    labels.dispose();
  };
  return { store, plan, dispose };
}

async function checkOnce(mode: "eval" | "train"): Promise<void> {
  const { store, plan, dispose } = await setUp(mode === "train");
  plan.run();
  const logits = await plan.result.logits.floats();
  golden[mode].logits.flat().forEach((v, i) => near(`logits[${i}]`, logits[i]!, v));
  near("loss", await plan.result.loss.item(), golden[mode].loss);
  const grads = await store.readFlat(store.grads);
  for (const [name, expected] of Object.entries(golden[mode].grads)) same(`gradient of ${name}`, grads.get(name)!.data, expected, 2e-4);
  const state = await store.state();
  for (const [name, expected] of Object.entries(golden.train.running)) {
    if (mode === "train") same(name, state.get(name)!.data, expected);
    else if (state.get(name)!.data[0] !== fillState(specs.map((s) => [s.name, s.shape])).get(name)![0])
      throw new Error(`${name}: expected no change in evaluation`);
  }
  dispose();
}

async function checkSteps(): Promise<void> {
  const { count, lr, momentum, nesterov, weightDecay, losses, after } = golden.steps;
  let velocity!: Tensor;
  const { store, plan, dispose } = await setUp(true, ({ flat: [params], grads: [grads] }) => {
    velocity = Tensor.zeros(params!.shape);
    const sizes = { params: params!, grads: grads!, momentum: velocity };
    sgdStep(sizes, { lr: constant(lr), momentum, nesterov, weightDecay, decayed: params!.size });
  });
  for (let i = 0; i < count; i++) {
    plan.run();
    near(`loss of step ${i}`, await plan.result.loss.item(), losses[i]!, 1e-3);
  }
  const state = await store.state();
  for (const [name, expected] of Object.entries(after)) near(`norm of ${name}`, norm(state.get(name)!.data), expected, 1e-3);
  dispose();
  velocity.dispose();
}

export const cases: Case[] = [
  { name: "regnet: evaluation and its gradients as timm's", long: true, run: () => checkOnce("eval") },
  { name: "regnet: training, gradients and running statistics as timm's", run: () => checkOnce("train") },
  { name: "regnet: four steps of SGD as PyTorch's", run: checkSteps },
  {
    name: "regnet: refuses grey images",
    run: () => refuses(() => regnet({}, Tensor.zeros([1, 1, 8, 8]), config), /regnety: expected images \[B,3,H,W\], got \[1,1,8,8\]/),
  },
];

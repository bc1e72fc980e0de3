/**
 * Low-rank adaptation: linear layers of a frozen transformer learn W + (alpha / rank) B A, A [rank, I], B [O, rank]; the classifiers learn
 * whole. Merged into W afterwards, the model is as fast as before. Hu et al. 2021, https://arxiv.org/abs/2106.09685
 */
import { add, scale } from "../kernels/elementwise.ts";
import { matmul } from "../kernels/matmul.ts";
import { isHead } from "../models/heads.ts";
import type { Model } from "../models/model.ts";
import { initialState, type Params, type ParamSpec, type State } from "../models/params.ts";

export interface LoraOptions {
  /** 8 unless given. */
  readonly rank?: number;
  /** The rank unless given. */
  readonly alpha?: number;
  /** Which layers of each block; "qkv" and "proj" unless given. */
  readonly targets?: readonly ("qkv" | "proj" | "fc1" | "fc2")[];
}

const TARGETS = { qkv: "attn.qkv", proj: "attn.proj", fc1: "mlp.fc1", fc2: "mlp.fc2" } as const;

export interface Lora {
  readonly rank: number;
  readonly factor: number;
  /** The weights that are adapted. */
  readonly adapted: readonly ParamSpec[];
  readonly heads: readonly ParamSpec[];
}

/** Throws for rank, alpha or targets out of range. */
export function makeLora(model: Model, { rank = 8, alpha = rank, targets = ["qkv", "proj"] }: LoraOptions = {}): Lora {
  if (!Number.isInteger(rank) || rank < 1) throw new Error(`lora: expected a rank of at least 1, got ${rank}`);
  if (!(alpha > 0)) throw new Error(`lora: expected alpha above 0, got ${alpha}`);
  const strange = targets.find((target) => !Object.hasOwn(TARGETS, target));
  if (strange !== undefined || targets.length === 0)
    throw new Error(`lora: expected targets among ${Object.keys(TARGETS).join(", ")}, got ${strange ?? "none"}`);
  const names = targets.map((target) => `.${TARGETS[target]}.weight`);
  const adapted = model.params.filter(({ name }) => names.some((end) => name.endsWith(end)));
  return { rank, factor: alpha / rank, adapted, heads: model.params.filter(({ name }) => isHead(name)) };
}

const specsOf = ({ rank, adapted, heads }: Lora): ParamSpec[] => [
  ...adapted.flatMap(({ name, shape: [O, I] }): ParamSpec[] => [
    { name: `${name}.lora_A`, shape: [rank, I!], init: { kind: "uniform", bound: 1 / Math.sqrt(I!) }, trainable: true, decay: false },
    { name: `${name}.lora_B`, shape: [O!, rank], init: { kind: "zeros" }, trainable: true, decay: false },
  ]),
  ...heads,
];

/** The model whose parameters are A and B of each adapted weight, and the classifiers. `base`: the frozen ones on the device. */
export function withLora(model: Model, base: Params, lora: Lora): Model {
  const { rank, factor } = lora;
  const what = { rank, factor, adapted: lora.adapted.map(({ name }) => name) };
  return {
    ...model,
    config: { ...model.config, lora: what } as unknown as Model["config"], // identifies the run in its checkpoint
    params: specsOf(lora),
    forward(p, x, options) {
      const weights = { ...base };
      for (const { name } of lora.heads) weights[name] = p[name]!;
      for (const { name } of lora.adapted)
        weights[name] = add(base[name]!, scale(matmul(p[`${name}.lora_B`]!, p[`${name}.lora_A`]!), factor));
      return model.forward(weights, x, options);
    },
  };
}

/** B is 0 at first: the model begins as it was. */
export const initialLora = (lora: Lora, state: State, seed: number): State =>
  new Map([...initialState(specsOf(lora), seed), ...lora.heads.map(({ name }) => [name, state.get(name)!] as const)]);

/** The whole model with the learned matrices merged; sums in f64, rounded once. */
export function mergedLora({ rank, factor, adapted, heads }: Lora, state: State, learned: State): State {
  const merged = new Map(state);
  for (const { name } of heads) merged.set(name, learned.get(name)!);
  for (const { name, shape } of adapted) {
    const [O, I] = shape as readonly [number, number];
    const { data: a } = learned.get(`${name}.lora_A`)!;
    const { data: b } = learned.get(`${name}.lora_B`)!;
    const data = Float32Array.from(state.get(name)!.data, (w, at) => {
      const [o, i] = [Math.floor(at / I), at % I];
      let sum = 0;
      for (let r = 0; r < rank; r++) sum += b[o * rank + r]! * a[r * I + i]!;
      return w + factor * sum;
    });
    merged.set(name, { shape: [O, I], data });
  }
  return merged;
}

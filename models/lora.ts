/**
 * Low-rank adaptation: linear layers of a frozen transformer learn W + (alpha / rank) B A, A [rank, I], B [O, rank]; the classifiers learn
 * whole. Merged into W afterwards, the model is as fast as before. Hu et al. 2021, https://arxiv.org/abs/2106.09685
 */
import { add, scale } from "../kernels/elementwise.ts";
import { matmul } from "../kernels/matmul.ts";
import type { Spec } from "./check-state.ts";
import { isHead } from "./heads.ts";
import type { Model } from "./model.ts";
import { initialState, type Params, type ParamSpec, type State } from "./params.ts";

/** Linear layers of a block, by the short names that options have; of several names a model has the first, or the others. */
export const LORA_TARGETS = {
  qkv: ["attn.qkv", "attn.q_proj", "attn.k_proj", "attn.v_proj"],
  proj: ["attn.proj"],
  fc1: ["mlp.fc1", "mlp.fc1_g", "mlp.fc1_x"],
  fc2: ["mlp.fc2"],
} as const;

export interface LoraOptions {
  /** 8 unless given. */
  readonly rank?: number;
  /** The rank unless given. */
  readonly alpha?: number;
  /** Which layers of each block; "qkv" and "proj" unless given. */
  readonly targets?: readonly (keyof typeof LORA_TARGETS)[];
}

export interface Lora {
  readonly rank: number;
  readonly alpha: number;
  /** The weights that are adapted. */
  readonly adapted: readonly ParamSpec[];
  readonly heads: readonly ParamSpec[];
}

/** What merging needs to know of a `Lora`. */
export type Learned = Pick<Lora, "rank" | "alpha"> & Readonly<Record<"adapted" | "heads", readonly Spec[]>>;

/** Throws for rank, alpha or targets out of range. */
export function makeLora(model: Model, { rank = 8, alpha = rank, targets = ["qkv", "proj"] }: LoraOptions = {}): Lora {
  if (!Number.isInteger(rank) || rank < 1) throw new Error(`lora: expected a rank of at least 1, got ${rank}`);
  if (!(alpha > 0)) throw new Error(`lora: expected alpha above 0, got ${alpha}`);
  const strange = targets.find((target) => !Object.hasOwn(LORA_TARGETS, target));
  if (strange !== undefined || targets.length === 0)
    throw new Error(`lora: expected targets among ${Object.keys(LORA_TARGETS).join(", ")}, got ${strange ?? "none"}`);
  const names = targets.flatMap((target) => LORA_TARGETS[target].map((layer) => `.${layer}.weight`));
  const adapted = model.params.filter(({ name }) => names.some((end) => name.endsWith(end)));
  return { rank, alpha, adapted, heads: model.params.filter(({ name }) => isHead(name)) };
}

/** Names of a weight's two matrices: A [rank, I], B [O, rank]. */
export const matricesOf = (weight: string): { readonly a: string; readonly b: string } => ({
  a: `${weight}.lora_A`,
  b: `${weight}.lora_B`,
});

const specsOf = ({ rank, adapted, heads }: Lora): ParamSpec[] => [
  ...adapted.flatMap(({ name, shape: [O, I] }): ParamSpec[] => [
    { name: matricesOf(name).a, shape: [rank, I!], init: { kind: "uniform", bound: 1 / Math.sqrt(I!) }, trainable: true, decay: false },
    { name: matricesOf(name).b, shape: [O!, rank], init: { kind: "zeros" }, trainable: true, decay: false },
  ]),
  ...heads,
];

/**
 * The model whose parameters are A and B of each adapted weight, and the classifiers. `base`: the frozen ones on the device, f32, or f16 for
 * matrices; sums with them are f32.
 */
export function withLora(model: Model, base: Params, lora: Lora): Model {
  return {
    ...model,
    params: specsOf(lora),
    forward(p, x, options) {
      const weights = { ...base };
      for (const { name } of lora.heads) weights[name] = p[name]!;
      for (const { name } of lora.adapted) {
        const { a, b } = matricesOf(name);
        weights[name] = add(scale(matmul(p[b]!, p[a]!), lora.alpha / lora.rank), base[name]!);
      }
      return model.forward(weights, x, options);
    },
  };
}

/** B is 0 at first: the model begins as it was. */
export const initialLora = (lora: Lora, state: State, seed: number): State =>
  new Map([...initialState(specsOf(lora), seed), ...lora.heads.map(({ name }) => [name, state.get(name)!] as const)]);

/** The whole model with the learned matrices merged; sums in f64, rounded once. */
export function mergedLora({ rank, alpha, adapted, heads }: Learned, state: State, learned: State): State {
  const merged = new Map(state);
  for (const { name } of heads) merged.set(name, learned.get(name)!);
  for (const { name, shape } of adapted) {
    const [O, I] = shape as readonly [number, number];
    const { data: a } = learned.get(matricesOf(name).a)!;
    const { data: b } = learned.get(matricesOf(name).b)!;
    const data = Float32Array.from(state.get(name)!.data, (w, at) => {
      const [o, i] = [Math.floor(at / I), at % I];
      let sum = 0;
      for (let r = 0; r < rank; r++) sum += b[o * rank + r]! * a[r * I + i]!;
      return w + (alpha / rank) * sum;
    });
    merged.set(name, { shape: [O, I], data });
  }
  return merged;
}

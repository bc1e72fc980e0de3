/** A model's parameters: names and shapes as in the PyTorch state dict, initial values, and where they live on the GPU. */
import { Random } from "../engine/random.ts";
import { numel, type Shape } from "../engine/shape.ts";
import { Tensor } from "../engine/tensor.ts";
import { checkState, type State } from "./check-state.ts";

export type Init =
  | { readonly kind: "zeros" }
  | { readonly kind: "ones" }
  | { readonly kind: "normal"; readonly std: number }
  | { readonly kind: "uniform"; readonly bound: number };

export interface ParamSpec {
  /** timm's name, e.g. `blocks.0.attn.qkv.weight`. */
  readonly name: string;
  readonly shape: Shape;
  readonly init: Init;
  /** False for running statistics: saved with the model, but no gradient reaches them. */
  readonly trainable: boolean;
  /** Whether weight decay applies. */
  readonly decay: boolean;
}

export type Params = Readonly<Record<string, Tensor>>;

export type { State } from "./check-state.ts";

export const countParams = (specs: readonly ParamSpec[]): number =>
  specs.reduce((n, s) => n + (s.trainable ? numel(s.shape) : 0), 0);

/** Initial values from a seed. Each parameter draws from a stream of its own name, so none depends on the others. */
export function initialState(specs: readonly ParamSpec[], seed: number): State {
  return new Map(specs.map((spec) => {
    const data = new Float32Array(numel(spec.shape));
    const random = new Random(seed, hash(spec.name));
    const { init } = spec;
    if (init.kind === "ones") data.fill(1);
    else if (init.kind === "normal") for (let i = 0; i < data.length; i++) data[i] = init.std * random.normal();
    else if (init.kind === "uniform") for (let i = 0; i < data.length; i++) data[i] = random.uniform(-init.bound, init.bound);
    return [spec.name, { shape: spec.shape, data }];
  }));
}

/** A model's tensors on the GPU, for inference: nothing requires a gradient. */
export function loadParams(what: string, specs: readonly ParamSpec[], state: State): Params {
  checkState(what, specs, state);
  return Object.fromEntries(specs.map((s) => [s.name, Tensor.from(state.get(s.name)!.data, s.shape)]));
}

// Bindings start at multiples of 256 bytes.
const ALIGN = 64;

/**
 * A model's parameters for training: all trainable ones in one flat buffer, with another of the same layout for their
 * gradients, so that an optimizer takes one launch. Those with weight decay come first.
 */
export class ParameterStore {
  readonly specs: readonly ParamSpec[];
  /** By name; views into `flat`, and tensors of their own for what is not trained. */
  readonly tensors: Params;
  /** [n]: every trainable parameter, zeros between them. */
  readonly flat: Tensor;
  /** [n], in the layout of `flat`. */
  readonly grads: Tensor;
  /** Weight decay applies to the first so many elements of `flat`. */
  readonly decayed: number;
  readonly #layout: readonly { readonly spec: ParamSpec; readonly start: number }[];

  constructor(what: string, specs: readonly ParamSpec[], state: State) {
    checkState(what, specs, state);
    this.specs = specs;
    const trained = specs.filter((s) => s.trainable);
    let n = 0;
    const put = (spec: ParamSpec) => {
      const start = n;
      n += Math.ceil(numel(spec.shape) / ALIGN) * ALIGN;
      return { spec, start };
    };
    const decayed = trained.filter((s) => s.decay).map(put);
    this.decayed = n;
    this.#layout = [...decayed, ...trained.filter((s) => !s.decay).map(put)];
    const values = new Float32Array(n);
    for (const { spec, start } of this.#layout) values.set(state.get(spec.name)!.data, start);
    this.flat = Tensor.from(values, [n]);
    this.grads = Tensor.zeros([n]);
    const views = new Map(this.#layout.map(({ spec, start }) => {
      const view = new Tensor(spec.shape, "f32", this.flat.storage, 4 * start);
      view.requiresGrad = true;
      return [spec.name, view];
    }));
    this.tensors = Object.fromEntries(specs.map((s) => [s.name, views.get(s.name) ?? Tensor.from(state.get(s.name)!.data, s.shape)]));
  }

  /** The trained parameters, in the order of `gradTargets`. */
  get trained(): Tensor[] {
    return this.#layout.map(({ spec }) => this.tensors[spec.name]!);
  }

  /** Where each trained parameter's gradient belongs. */
  get gradTargets(): Tensor[] {
    return this.#layout.map(({ spec, start }) => new Tensor(spec.shape, "f32", this.grads.storage, 4 * start));
  }

  /** A flat buffer's values by parameter name (`flat`, `grads`, or an optimizer's of the same layout). */
  async readFlat(flat: Tensor): Promise<Map<string, { shape: Shape; data: Float32Array }>> {
    const values = await flat.floats();
    return new Map(this.#layout.map(({ spec, start }) => [spec.name, { shape: spec.shape, data: values.slice(start, start + numel(spec.shape)) }]));
  }

  /** The inverse of `readFlat`. */
  writeFlat(flat: Tensor, state: State): void {
    const values = new Float32Array(flat.size);
    for (const { spec, start } of this.#layout) values.set(state.get(spec.name)!.data, start);
    flat.write(values);
  }

  /** Everything that belongs in a checkpoint of the model, in state-dict order. `flat` may be an average of the parameters. */
  async state(flat = this.flat): Promise<Map<string, { shape: Shape; data: Float32Array }>> {
    const trained = await this.readFlat(flat);
    const all = new Map<string, { shape: Shape; data: Float32Array }>();
    for (const s of this.specs) all.set(s.name, trained.get(s.name) ?? { shape: s.shape, data: await this.tensors[s.name]!.floats() });
    return all;
  }

  dispose(): void {
    this.flat.dispose();
    this.grads.dispose();
    for (const s of this.specs) if (!s.trainable) this.tensors[s.name]!.dispose();
  }
}

/** FNV-1a: a stream number from a name. */
function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return h >>> 0;
}

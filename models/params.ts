/** A model's parameters: names and shapes as in the PyTorch state dict, initial values, and where they live on the GPU. */
import { Random } from "../kernels/shared/random.ts";
import { castKept } from "../kernels/cast.ts";
import { NORM_BUFFERS } from "../kernels/optim/grad-norm.ts";
import { numel, show, type Shape } from "../engine/shape.ts";
import { Tensor } from "../engine/tensor.ts";
import { place } from "../kernels/shared/place.ts";
import { checkState, type State } from "./check-state.ts";
import { FlatLayout, largestTensor, type Flat } from "./flat.ts";

export type Init =
  | { readonly kind: "zeros" }
  | { readonly kind: "ones" }
  | { readonly kind: "constant"; readonly value: number }
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

export type StoredType = "f32" | "f16";

/** What a model with storage in f16 has in it; its other parameters are f32. */
export const isMatrix = (name: string, { shape }: { readonly shape: Shape }): boolean => shape.length > 1 && name.endsWith(".weight");

export type { State } from "./check-state.ts";

export const countParams = (specs: readonly ParamSpec[]): number => specs.reduce((n, s) => n + (s.trainable ? numel(s.shape) : 0), 0);

type Limits = Pick<GPUSupportedLimits, "maxBufferSize" | "maxStorageBufferBindingSize">;

/**
 * Throws if a device of these limits cannot hold the model for training: the largest parameter exceeds a limit, or the trained ones do
 * not fit into the buffers that one launch reads. Allocates nothing, unlike `initialState`.
 */
export function checkSizes(what: string, specs: readonly ParamSpec[], trains: (spec: ParamSpec) => boolean, limits: Limits): void {
  const most = largestTensor(limits);
  const bytes = (spec: ParamSpec): number => 4 * numel(spec.shape);
  const largest = specs.reduce((a, b) => (bytes(b) > bytes(a) ? b : a));
  const refuse = (expected: string, got: string): never => {
    throw new Error(`${what}: expected ${expected} of at most ${megabytes(most)}, the adapter's limit for a buffer, got ${got}`);
  };
  if (bytes(largest) > most) refuse("parameters", `${largest.name} ${show(largest.shape)} of ${megabytes(bytes(largest))}`);
  const { sizes } = new FlatLayout(
    specs.filter((s) => s.trainable && trains(s)),
    limits,
  );
  if (sizes.length > NORM_BUFFERS)
    refuse(`trained parameters in ${NORM_BUFFERS} buffers`, megabytes(sizes.reduce((sum, size) => sum + 4 * size, 0)));
}

const megabytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

/** Initial values from a seed. Each parameter draws from a stream of its own name, so none depends on the others. */
export function initialState(specs: readonly ParamSpec[], seed: number): State {
  return new Map(
    specs.map((spec) => {
      const data = new Float32Array(numel(spec.shape));
      const random = new Random(seed, hash(spec.name));
      const { init } = spec;
      if (init.kind === "ones") data.fill(1);
      else if (init.kind === "constant") data.fill(init.value);
      else if (init.kind === "normal") for (let i = 0; i < data.length; i++) data[i] = init.std * random.normal();
      else if (init.kind === "uniform") for (let i = 0; i < data.length; i++) data[i] = random.uniform(-init.bound, init.bound);
      return [spec.name, { shape: spec.shape, data }];
    }),
  );
}

/** A model's tensors on the GPU, for inference: nothing requires a gradient. Without a state they are zeros. */
export function loadParams(what: string, specs: readonly ParamSpec[], state: State | null): Params {
  if (state) checkState(what, specs, state);
  return Object.fromEntries(specs.map((s) => [s.name, tensorOf(s, state)]));
}

const tensorOf = ({ name, shape }: ParamSpec, state: State | null): Tensor =>
  state ? Tensor.from(state.get(name)!.data, shape) : Tensor.zeros(shape);

/**
 * A model's parameters for training: all that are trained in one flat buffer (several where the device binds none of that size), with
 * others of the same layout for their gradients, so that an optimizer takes a launch for each. Those with weight decay come first. Running
 * statistics lie in a flat of their own; each frozen parameter has a tensor of its own. For a model stored in f16 there is also a flat of the
 * parameters rounded to f16, which the optimizer writes with them.
 */
export class ParameterStore {
  readonly specs: readonly ParamSpec[];
  /** By name; views into `flat` (`half`, for matrices, if there is one) and `stats`, and separate tensors for frozen parameters. */
  readonly tensors: Params;
  readonly layout: FlatLayout;
  readonly statsLayout: FlatLayout;
  /** Every trained parameter, zeros between them. */
  readonly flat: Flat;
  /** `flat` in f16, in its layout; `null` unless stored so. */
  readonly half: Flat | null;
  /** In the layout of `flat`. */
  readonly grads: Flat;
  /** Views into `flat`, in the order of `gradTargets`. Gradients are taken with respect to them. */
  readonly trained: readonly Tensor[];
  /** Running statistics; empty if the model has none. */
  readonly stats: Flat;
  /** Number of leading elements of each buffer of `flat` that weight decay applies to. */
  readonly decayed: readonly number[];
  readonly #frozen: readonly string[];

  /** Without a state all are zeros. `trains` chooses among the trainable parameters; the others are frozen. All are trained without it. */
  constructor(
    what: string,
    specs: readonly ParamSpec[],
    state: State | null,
    trains: (spec: ParamSpec) => boolean = () => true,
    stored: StoredType = "f32",
  ) {
    if (state) checkState(what, specs, state);
    this.specs = specs;
    const trained = specs.filter((s) => s.trainable && trains(s));
    if (trained.length === 0) throw new Error(`${what}: expected at least one parameter to train, got none`);
    const decayed = trained.filter((s) => s.decay);
    this.layout = new FlatLayout([...decayed, ...trained.filter((s) => !s.decay)], undefined, stored);
    this.decayed = this.layout.leading(decayed.length);
    this.statsLayout = new FlatLayout(specs.filter((s) => !s.trainable));
    this.flat = this.layout.from(state);
    this.half = stored === "f16" ? this.layout.zeros("f16") : null;
    this.grads = this.layout.zeros();
    this.stats = this.statsLayout.from(state);
    const tensors: Record<string, Tensor> = {};
    this.trained = this.layout.views(this.flat);
    const halves = this.half && this.layout.views(this.half);
    this.layout.parts.forEach(({ name }, i) => {
      const view = this.trained[i]!;
      view.requiresGrad = true;
      tensors[name] = halves && isMatrix(name, view) ? castKept(view, halves[i]!) : view;
    });
    this.statsLayout.views(this.stats).forEach((view, i) => {
      tensors[this.statsLayout.parts[i]!.name] = view;
    });
    const frozen = specs.filter((s) => !tensors[s.name]);
    for (const s of frozen) tensors[s.name] = tensorOf(s, state);
    this.#frozen = frozen.map((s) => s.name);
    this.tensors = tensors;
    if (state) this.#round();
  }

  #round(): void {
    this.half?.forEach((half, i) => place(this.flat[i]!, half));
  }

  /** Where each trained parameter's gradient belongs. */
  get gradTargets(): Tensor[] {
    return this.layout.views(this.grads);
  }

  /** A flat's values by parameter name (`flat`, `grads`, or an optimizer's of the same layout). */
  readFlat(flat: Flat): Promise<Map<string, { shape: Shape; data: Float32Array }>> {
    return this.layout.read(flat);
  }

  /** The inverse of `readFlat`. */
  writeFlat(flat: Flat, state: State): void {
    this.layout.write(flat, state);
  }

  /** All values of the model's checkpoint, in state-dict order. `flat` and `stats` may be averages. */
  async state(flat = this.flat, stats = this.stats): Promise<Map<string, { shape: Shape; data: Float32Array }>> {
    const values = new Map([...(await this.layout.read(flat)), ...(await this.statsLayout.read(stats))]);
    const all = new Map<string, { shape: Shape; data: Float32Array }>();
    for (const s of this.specs) all.set(s.name, values.get(s.name) ?? { shape: s.shape, data: await this.tensors[s.name]!.floats() });
    return all;
  }

  /** Puts saved values back, all of them. */
  restore(state: State): void {
    this.layout.write(this.flat, state);
    this.#round();
    this.statsLayout.write(this.stats, state);
    for (const name of this.#frozen) this.tensors[name]!.write(state.get(name)!.data);
  }

  /** All that `state` reads, one after the other. */
  get buffers(): Tensor[] {
    return [...this.flat, ...this.stats, ...this.#frozen.map((name) => this.tensors[name]!)];
  }

  dispose(): void {
    for (const tensor of [...this.grads, ...(this.half ?? []), ...this.buffers]) tensor.dispose();
  }
}

/** FNV-1a: a stream number from a name. */
function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return h >>> 0;
}

/** The training of a classifier on features: full-batch AdamW on a cosine to 0, recorded once. */
import { gradients, noGrad } from "../engine/autograd.ts";
import { record, type Plan } from "../engine/plan.ts";
import { place } from "../kernels/shared/place.ts";
import { Scalars } from "../kernels/shared/scalars.ts";
import { readAll, Tensor } from "../engine/tensor.ts";
import { crossEntropy } from "../kernels/cross-entropy.ts";
import { average } from "../kernels/elementwise.ts";
import { linear } from "../kernels/linear.ts";
import { reshape, slice } from "../kernels/movement.ts";
import { adamwStep } from "../kernels/optim/adamw.ts";
import { isHead } from "../models/heads.ts";
import type { Model } from "../models/model.ts";
import type { Flat } from "../models/flat.ts";
import { ParameterStore, type Params, type State } from "../models/params.ts";
import { score, type Evaluation } from "../train/evaluate.ts";

const BETAS = [0.9, 0.999] as const;

/** Maps features (N, T, D) to the logits of each head, and of all together. */
function answers(features: Tensor, params: Params): { all: Tensor; each: Tensor[] } {
  const [N, T, D] = features.shape as [number, number, number];
  const names =
    T === 2
      ? ["head", "head_dist"]
      : [
          Object.keys(params)
            .find((name) => name.endsWith(".weight"))!
            .slice(0, -".weight".length),
        ];
  const each = names.map((name, t) =>
    linear(reshape(slice(features, 1, t, t + 1), [N, D]), params[`${name}.weight`]!, params[`${name}.bias`]!),
  );
  return { all: each.length === 2 ? average(each[0]!, each[1]!) : each[0]!, each };
}

/** A run's state by name: the parameters and both moments of AdamW. */
export interface ProbeState {
  readonly step: number;
  readonly values: ReadonlyMap<string, Float32Array>;
}

export interface ProbeSettings {
  readonly steps: number;
  readonly rate: number;
  readonly decay: number;
  readonly smoothing: number;
}

export class Probe {
  step: number;
  readonly #store: ParameterStore;
  readonly #moments: readonly [Flat, Flat];
  readonly #features: Tensor;
  readonly #labels: readonly number[];
  readonly #settings: ProbeSettings;
  readonly #scalars = new Scalars({ lr: "f32", bias1: "f32", bias2: "f32" });
  readonly #made: { dispose(): void }[] = [];
  #plan: Plan<{ readonly loss: Tensor; readonly logits: Tensor }> | null = null;

  constructor(model: Model, state: State, seen: Float32Array, labels: readonly number[], settings: ProbeSettings, from: ProbeState | null) {
    const specs = model.params.filter((s) => isHead(s.name));
    // A probe begins at 0: a random initial head would first have to be unlearned.
    const begin = new Map(
      specs.map((s) => [s.name, { shape: s.shape, data: from?.values.get(s.name) ?? state.get(s.name)!.data.map(() => 0) }]),
    );
    this.#store = this.#own(new ParameterStore("fineTune", specs, begin));
    const moments = ["m", "v"].map((kind) => {
      const flat = this.#store.layout.zeros();
      for (const buffer of flat) this.#own(buffer);
      if (from)
        this.#store.writeFlat(flat, new Map(specs.map((s) => [s.name, { shape: s.shape, data: from.values.get(`${kind}.${s.name}`)! }])));
      return flat;
    });
    this.#moments = [moments[0]!, moments[1]!];
    const D = specs.find((s) => s.name.endsWith("weight"))!.shape[1]!;
    this.#features = this.#own(Tensor.from(seen, [labels.length, seen.length / labels.length / D, D]));
    this.#own(this.#scalars.tensor);
    this.#labels = labels;
    this.#settings = settings;
    this.step = from?.step ?? 0;
  }

  #own<T extends { dispose(): void }>(thing: T): T {
    this.#made.push(thing);
    return thing;
  }

  get heads(): readonly string[] {
    return this.#store.specs.map((s) => s.name);
  }

  async record(onCompile: (done: number, total: number) => void): Promise<void> {
    const store = this.#store;
    const labels = this.#own(Tensor.from(this.#labels, [this.#labels.length], "u32"));
    const [m, v] = this.#moments;
    const plan = await record(
      () => {
        const { all } = answers(this.#features, store.tensors);
        const loss = crossEntropy(all, labels, { labelSmoothing: this.#settings.smoothing });
        gradients(loss, store.trained).forEach((grad, i) => place(grad, store.gradTargets[i]!));
        const at = (name: "lr" | "bias1" | "bias2") => this.#scalars.at(name);
        const rates = { lr: at("lr"), bias1: at("bias1"), bias2: at("bias2"), beta1: BETAS[0], beta2: BETAS[1] };
        store.flat.forEach((params, i) =>
          adamwStep(
            { params, grads: store.grads[i]!, m: m[i]!, v: v[i]! },
            { ...rates, decayed: store.decayed[i]!, weightDecay: this.#settings.decay },
          ),
        );
        return { loss, logits: all };
      },
      { label: "linear probe", onCompile },
    );
    this.#plan = this.#own(plan);
  }

  /** One step on all examples. */
  async next(): Promise<{ loss: number; top1: number }> {
    const lr = this.rate;
    const t = ++this.step;
    this.#scalars.set({ lr, bias1: 1 - BETAS[0] ** t, bias2: 1 - BETAS[1] ** t });
    this.#plan!.run();
    const [loss, logits] = (await readAll([this.#plan!.result.loss, this.#plan!.result.logits])) as [Float32Array, Float32Array];
    const K = logits.length / this.#labels.length;
    return { loss: loss[0]!, top1: score(logits, this.#labels, K).top1 };
  }

  /** Learning rate of the next step: a cosine from the peak to 0. */
  get rate(): number {
    const { rate, steps } = this.#settings;
    return 0.5 * rate * (1 + Math.cos((Math.PI * this.step) / steps));
  }

  async read(): Promise<ProbeState> {
    const values = new Map<string, Float32Array>();
    for (const [prefix, flat] of [
      ["", this.#store.flat],
      ["m.", this.#moments[0]],
      ["v.", this.#moments[1]],
    ] as const)
      for (const [name, { data }] of await this.#store.readFlat(flat)) values.set(prefix + name, data);
    return { step: this.step, values };
  }

  async evaluate(features: Float32Array, labels: readonly number[]): Promise<Evaluation> {
    const startMs = performance.now();
    const [, T, D] = this.#features.shape as [number, number, number];
    const x = Tensor.from(features, [labels.length, T, D]);
    const plan = await record(() => noGrad(() => answers(x, this.#store.tensors)), { label: "linear probe's score" });
    plan.run();
    const { all, each } = plan.result;
    const read = (await readAll([all, ...each])) as Float32Array[];
    plan.dispose();
    x.dispose();
    const [model, cls, dist] = read.map((logits) => score(logits, labels, logits.length / labels.length));
    const seconds = (performance.now() - startMs) / 1000;
    return { count: labels.length, model: model!, ...(dist ? { cls: cls!, dist } : {}), imagesPerSecond: labels.length / seconds };
  }

  dispose(): void {
    for (const thing of this.#made.splice(0).reverse()) thing.dispose();
  }
}

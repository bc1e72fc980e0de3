/** The optimizer's state, and its launches as part of a recorded step. */
import type { Scalar } from "../kernels/shared/scalars.ts";
import { Tensor } from "../engine/tensor.ts";
import { blockTables, type Flat } from "../models/flat.ts";
import { watched } from "../engine/watch.ts";
import { correctBias } from "../kernels/optim/bias-correction.ts";
import { adamwStep } from "../kernels/optim/adamw.ts";
import { emaStep } from "../kernels/optim/ema.ts";
import { gradNorm } from "../kernels/optim/grad-norm.ts";
import { makeLossScale, updateLossScale, type LossScale } from "../kernels/optim/loss-scale.ts";
import { lambStep } from "../kernels/optim/lamb.ts";
import { sgdStep } from "../kernels/optim/sgd.ts";
import type { ParameterStore } from "../models/params.ts";
import type { Recipe } from "./recipe.ts";

/** Per-step numbers that the launches read. `bias1` and `bias2` are computed on the GPU from `update`. */
export const optimizerScalars = { lr: "f32", update: "u32", bias1: "f32", bias2: "f32", emaDecay: "f32" } as const;

/** The moving average of a model: of its parameters and of its running statistics, in the store's layouts. */
export interface Ema {
  readonly flat: Flat;
  readonly stats: Flat;
}

export class Optimizer {
  readonly #recipe: Recipe;
  readonly #store: ParameterStore;
  /** For LAMB: which elements of each buffer belong to which parameter. */
  readonly #tables: readonly { readonly segments: Tensor; readonly owners: Tensor }[];
  /** In the store's layout, by the name they have in checkpoints. */
  readonly state: Readonly<Record<string, Flat>>;
  /** `null` if none is kept. */
  readonly ema: Ema | null;
  /** `null` in f32. */
  readonly lossScale: LossScale | null;
  /** [1]: updates skipped for gradients that were not finite; `null` for SGD, which corrects no bias. */
  readonly skipped: Tensor | null;

  constructor(recipe: Recipe, store: ParameterStore) {
    this.#recipe = recipe;
    this.#store = store;
    const zeros = () => store.layout.zeros();
    const adaptive = recipe.optimizer !== "sgd";
    this.skipped = adaptive ? Tensor.zeros([1]) : null;
    this.state = !adaptive ? { momentum_buffer: zeros() } : { exp_avg: zeros(), exp_avg_sq: zeros() };
    this.#tables = recipe.optimizer === "lamb" ? blockTables(store.layout) : [];
    this.lossScale = recipe.dtype === "f16" ? makeLossScale(recipe.lossScale) : null;
    this.ema = recipe.emaDecay === null ? null : { flat: zeros(), stats: store.statsLayout.zeros() };
  }

  /** The average starts as a copy of the model. */
  async initEma(): Promise<void> {
    if (!this.ema) return;
    const { flat, stats } = this.#store;
    const from = [...flat, ...stats];
    for (const [i, tensor] of [...this.ema.flat, ...this.ema.stats].entries()) tensor.write(await from[i]!.floats());
  }

  /** Records one update from `grads`, in f16 those of the scaled loss. Returns `gradNorm`'s result; if it is not finite, nothing changes. */
  step(scalars: { at(name: keyof typeof optimizerScalars): Scalar }, grads = this.#store.grads): Tensor {
    return watched({ phase: "optimizer" }, () => this.#update(scalars, grads));
  }

  #update(scalars: { at(name: keyof typeof optimizerScalars): Scalar }, grads: Flat): Tensor {
    const { optimizer, weightDecay, beta1, beta2, eps, momentum, nesterov } = this.#recipe;
    const { flat, stats, half: halves } = this.#store;
    const finite = gradNorm(grads, this.lossScale?.scale);
    const emaDecay = scalars.at("emaDecay");
    const clip = clipOf(this.#recipe);
    const moments = { beta1, beta2, bias1: scalars.at("bias1"), bias2: scalars.at("bias2") };
    if (this.skipped) correctBias({ skipped: this.skipped, finite }, { ...moments, update: scalars.at("update") });
    const { momentum_buffer: momenta = [], exp_avg: means = [], exp_avg_sq: variances = [] } = this.state;
    flat.forEach((params, i) => {
      const common = { decayed: this.#store.decayed[i]!, weightDecay, finite, lr: scalars.at("lr"), ...(clip === null ? {} : { clip }) };
      const ema = this.ema?.flat[i],
        half = halves?.[i];
      const adaptive = { params, grads: grads[i]!, m: means[i]!, v: variances[i]!, half };
      if (optimizer === "sgd") sgdStep({ params, grads: grads[i]!, momentum: momenta[i]!, half }, { ...common, momentum, nesterov });
      else if (optimizer === "lamb") lambStep(adaptive, { ...common, ...moments, ...this.#tables[i]!, eps });
      else adamwStep({ ...adaptive, ema }, { ...common, ...moments, eps, ...(ema ? { emaDecay } : {}) });
      if (ema && optimizer !== "adamw") emaStep({ ema, params }, { decay: emaDecay, finite });
    });
    for (const [i, ema] of (this.ema?.stats ?? []).entries()) emaStep({ ema, params: stats[i]! }, { decay: emaDecay, finite });
    if (this.lossScale) updateLossScale(this.lossScale, finite, this.#recipe.lossScaleGrowth);
    return finite;
  }

  /** The numbers for an update: 1 for the first, skipped ones counted. */
  scalarsAt(update: number, lr: number): { lr: number; update: number; emaDecay: number } {
    return { lr, update, emaDecay: this.#recipe.emaDecay ?? 0 };
  }

  dispose(): void {
    for (const t of [...Object.values(this.state), this.ema?.flat ?? [], this.ema?.stats ?? []].flat()) t.dispose();
    this.skipped?.dispose();
    this.lossScale?.scale.dispose();
    this.lossScale?.good.dispose();
    for (const { segments, owners } of this.#tables) for (const t of [segments, owners]) t.dispose();
  }
}

/** The gradients' largest norm before the update rule; `null`: no limit. LAMB has its own limit; the smaller one applies. */
function clipOf({ optimizer, clipGrad, maxGradNorm }: Recipe): number | null {
  if (optimizer !== "lamb" || maxGradNorm === null) return clipGrad;
  return Math.min(clipGrad ?? Infinity, maxGradNorm);
}

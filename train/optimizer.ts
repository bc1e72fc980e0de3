/** The optimizer's state, and its launches as part of a recorded step. */
import type { Scalar } from "../engine/scalars.ts";
import { Tensor } from "../engine/tensor.ts";
import { adamwStep } from "../kernels/optim/adamw.ts";
import { emaStep } from "../kernels/optim/ema.ts";
import { gradNorm } from "../kernels/optim/grad-norm.ts";
import { makeLossScale, updateLossScale, type LossScale } from "../kernels/optim/loss-scale.ts";
import { lambStep } from "../kernels/optim/lamb.ts";
import { sgdStep } from "../kernels/optim/sgd.ts";
import type { ParameterStore } from "../models/params.ts";
import type { Recipe } from "./recipe.ts";

/** Per-step numbers that the launches read. */
export const optimizerScalars = { lr: "f32", bias1: "f32", bias2: "f32", emaDecay: "f32" } as const;

/** The moving average of a model: of its parameters and of its running statistics, in the store's layouts. */
export interface Ema {
  readonly flat: Tensor;
  readonly stats: Tensor | null;
}

export class Optimizer {
  readonly #recipe: Recipe;
  readonly #store: ParameterStore;
  /** LAMB's alone: which elements belong to which parameter. */
  readonly #tables: { readonly segments: Tensor; readonly owners: Tensor } | null;
  /** Flat buffers in the store's layout, by the name they have in checkpoints. */
  readonly state: Readonly<Record<string, Tensor>>;
  /** `null` if none is kept. */
  readonly ema: Ema | null;
  /** `null` in f32. */
  readonly lossScale: LossScale | null;

  constructor(recipe: Recipe, store: ParameterStore) {
    this.#recipe = recipe;
    this.#store = store;
    const zeros = () => Tensor.zeros(store.flat.shape);
    this.state = recipe.optimizer === "sgd" ? { momentum_buffer: zeros() } : { exp_avg: zeros(), exp_avg_sq: zeros() };
    this.#tables = recipe.optimizer === "lamb" ? store.layout.tables() : null;
    this.lossScale = recipe.dtype === "f16" ? makeLossScale(recipe.lossScale) : null;
    this.ema = recipe.emaDecay === null ? null : { flat: zeros(), stats: store.stats && Tensor.zeros(store.stats.shape) };
  }

  /** The average starts as a copy of the model. */
  async initEma(): Promise<void> {
    this.ema?.flat.write(await this.#store.flat.floats());
    this.ema?.stats?.write(await this.#store.stats!.floats());
  }

  /** Records one update from `grads`. Returns [norm, 1 if all gradients are finite else 0]; if they are not, nothing changes. */
  step(scalars: { at(name: keyof typeof optimizerScalars): Scalar }, grads = this.#store.grads): Tensor {
    const { optimizer, weightDecay, clipGrad, beta1, beta2, eps, momentum } = this.#recipe;
    const { flat: params, stats, decayed } = this.#store;
    const finite = gradNorm(grads);
    const ema = this.ema?.flat;
    const emaDecay = scalars.at("emaDecay");
    const common = { decayed, weightDecay, finite, lr: scalars.at("lr"), ...(clipGrad === null ? {} : { clip: clipGrad }) };
    if (optimizer === "sgd") {
      sgdStep({ params, grads, momentum: this.state["momentum_buffer"]! }, { ...common, momentum });
    } else {
      const { exp_avg: m, exp_avg_sq: v } = this.state as { exp_avg: Tensor; exp_avg_sq: Tensor };
      const moments = { beta1, beta2, bias1: scalars.at("bias1"), bias2: scalars.at("bias2") };
      if (optimizer === "adamw")
        adamwStep({ params, grads, m, v, ...(ema ? { ema } : {}) }, { ...common, ...moments, eps, ...(ema ? { emaDecay } : {}) });
      else lambStep({ params, grads, m, v }, { ...common, ...moments, ...this.#tables!, eps });
    }
    if (ema && optimizer !== "adamw") emaStep({ ema, params }, { decay: emaDecay, finite });
    if (this.ema?.stats) emaStep({ ema: this.ema.stats, params: stats! }, { decay: emaDecay, finite });
    if (this.lossScale) updateLossScale(this.lossScale, finite, this.#recipe.lossScaleGrowth);
    return finite;
  }

  /** The numbers for step `t` (1 for the first), computed in f64. Skipped updates count: the host need not wait to know of them. */
  scalarsAt(t: number, lr: number): { lr: number; bias1: number; bias2: number; emaDecay: number } {
    const { beta1, beta2, emaDecay } = this.#recipe;
    return { lr, bias1: 1 - beta1 ** t, bias2: 1 - beta2 ** t, emaDecay: emaDecay ?? 0 };
  }

  dispose(): void {
    for (const t of Object.values(this.state)) t.dispose();
    this.lossScale?.scale.dispose();
    this.lossScale?.good.dispose();
    this.ema?.flat.dispose();
    this.ema?.stats?.dispose();
    this.#tables?.segments.dispose();
    this.#tables?.owners.dispose();
  }
}

/** The optimizer's state, and its launches as part of a recorded step. */
import type { Scalar } from "../engine/scalars.ts";
import { Tensor } from "../engine/tensor.ts";
import { adamwStep } from "../kernels/adamw.ts";
import { emaStep } from "../kernels/ema.ts";
import { gradNorm } from "../kernels/grad-norm.ts";
import { sgdStep } from "../kernels/sgd.ts";
import type { ParameterStore } from "../models/params.ts";
import type { Recipe } from "./recipe.ts";

/** Per-step numbers that the launches read. */
export const optimizerScalars = { lr: "f32", bias1: "f32", bias2: "f32", emaDecay: "f32" } as const;

export class Optimizer {
  readonly #recipe: Recipe;
  readonly #store: ParameterStore;
  /** Flat buffers in the store's layout, by the name they have in checkpoints. */
  readonly state: Readonly<Record<string, Tensor>>;
  /** The parameters' moving average, flat; `null` if none is kept. */
  readonly ema: Tensor | null;

  constructor(recipe: Recipe, store: ParameterStore) {
    this.#recipe = recipe;
    this.#store = store;
    const zeros = () => Tensor.zeros(store.flat.shape);
    this.state = recipe.optimizer === "adamw" ? { exp_avg: zeros(), exp_avg_sq: zeros() } : { momentum_buffer: zeros() };
    this.ema = recipe.emaDecay === null ? null : zeros();
  }

  /** The average starts as a copy of the parameters. */
  async initEma(): Promise<void> {
    this.ema?.write(await this.#store.flat.floats());
  }

  /** Records one update from `store.grads`. Returns [norm, 1 if all gradients are finite else 0]; if they are not, nothing changes. */
  step(scalars: { at(name: keyof typeof optimizerScalars): Scalar }): Tensor {
    const { optimizer, weightDecay, clipGrad, beta1, beta2, eps, momentum } = this.#recipe;
    const { flat: params, grads, decayed } = this.#store;
    const finite = gradNorm(grads);
    const common = { decayed, weightDecay, finite, lr: scalars.at("lr"), ...(clipGrad === null ? {} : { clip: clipGrad }) };
    if (optimizer === "adamw") {
      const { exp_avg: m, exp_avg_sq: v } = this.state as { exp_avg: Tensor; exp_avg_sq: Tensor };
      adamwStep({ params, grads, m, v }, { ...common, beta1, beta2, eps, bias1: scalars.at("bias1"), bias2: scalars.at("bias2") });
    } else {
      sgdStep({ params, grads, momentum: this.state["momentum_buffer"]! }, { ...common, momentum });
    }
    if (this.ema) emaStep({ ema: this.ema, params }, { decay: scalars.at("emaDecay"), finite });
    return finite;
  }

  /** The numbers for step `t` (1 for the first), computed in f64. Skipped updates count: the host need not wait to know of them. */
  scalarsAt(t: number, lr: number): { lr: number; bias1: number; bias2: number; emaDecay: number } {
    const { beta1, beta2, emaDecay } = this.#recipe;
    return { lr, bias1: 1 - beta1 ** t, bias2: 1 - beta2 ** t, emaDecay: emaDecay ?? 0 };
  }

  dispose(): void {
    for (const t of Object.values(this.state)) t.dispose();
    this.ema?.dispose();
  }
}

/** A model with its weights, and how its images are normalised. */
import type { Model } from "../../models/model.ts";
import type { Params, State } from "../../models/params.ts";
import { CIFAR10_MEAN, CIFAR10_STD } from "../../train/data/dataset.ts";

export interface Trained {
  readonly model: Model;
  readonly state: State;
}

export const normalization = { mean: CIFAR10_MEAN, std: CIFAR10_STD };

export function dispose(params: Params): void {
  for (const t of Object.values(params)) t.dispose();
}

/** The parameters that a fine-tuning trains. */
import { isHead } from "../models/heads.ts";
import type { ParamSpec } from "../models/params.ts";
import { isProjection } from "./feature-distillation.ts";
import type { Recipe } from "./recipe.ts";

/**
 * "attention" as in Touvron et al. 2022, https://arxiv.org/abs/2203.09795: attention layers, with the position embedding and the
 * classifiers, which a new resolution and new classes need.
 */
export function trains(which: Recipe["trainOnly"]): (spec: ParamSpec) => boolean {
  if (which === "head") return ({ name }) => isHead(name) || isProjection(name);
  if (which === "attention") return ({ name }) => isHead(name) || isProjection(name) || name === "pos_embed" || name.includes(".attn.");
  return () => true; // of the parameters that `withLora` leaves, where it is "lora"
}

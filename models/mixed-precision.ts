/** Models whose activations and matrices are stored as f16; sums, norms' parameters, biases and outputs are f32. */
import { noGrad } from "../engine/autograd.ts";
import { Tensor } from "../engine/tensor.ts";
import { cast } from "../kernels/cast.ts";
import type { Model } from "./model.ts";
import { checkState } from "./check-state.ts";
import { toF16 } from "./half.ts";
import { isMatrix, loadParams, type Params, type ParamSpec, type State, type StoredType } from "./params.ts";

export type { StoredType } from "./params.ts";

const halved = (params: Params): Params =>
  Object.fromEntries(Object.entries(params).map(([name, t]) => [name, isMatrix(name, t) ? cast(t, "f16") : t]));

/** The model computing with such storage. Gradients reach its f32 parameters. */
export function storedModel(model: Model, dtype: StoredType): Model {
  if (dtype === "f32") return model;
  return {
    ...model,
    forward(p, x, { tap, ...options } = {}) {
      const out = model.forward(halved(p), cast(x, "f16"), {
        ...options,
        ...(tap ? { tap: (name, value) => tap(name, cast(value, "f32")) } : {}),
      });
      const logits = cast(out.logits, "f32");
      const logitsCls = out.logitsCls === out.logits ? logits : cast(out.logitsCls, "f32");
      return { logits, logitsCls, logitsDist: out.logitsDist && cast(out.logitsDist, "f32") };
    },
  };
}

/** Parameters for inference from a state, so stored; matrices are rounded on the CPU, and never take f32's memory. */
export function loadStored(what: string, specs: readonly ParamSpec[], state: State | null, dtype: StoredType): Params {
  if (dtype === "f32") return loadParams(what, specs, state);
  if (state) checkState(what, specs, state);
  const tensorOf = (spec: ParamSpec): Tensor => {
    const stored = isMatrix(spec.name, spec) ? "f16" : "f32";
    if (!state) return Tensor.zeros(spec.shape, stored);
    const { data } = state.get(spec.name)!;
    return Tensor.from(stored === "f16" ? toF16(spec.name, data) : data, spec.shape, stored);
  };
  return Object.fromEntries(specs.map((spec) => [spec.name, tensorOf(spec)]));
}

/** Parameters for inference so stored: matrices take half the memory, and their f32 goes back to the pool. */
export function storedParams(params: Params, dtype: StoredType): Params {
  if (dtype === "f32") return params;
  const made = noGrad(() => halved(params));
  for (const [name, t] of Object.entries(params)) if (made[name] !== t) t.dispose();
  return made;
}

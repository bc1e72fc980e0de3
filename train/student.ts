/** The student as a run trains it: the model with its storage, or with LoRA's additions over frozen weights. */
import { initialLora, makeLora, mergedLora, withLora, type Lora } from "../models/lora.ts";
import { loadStored, storedModel } from "../models/mixed-precision.ts";
import type { Model } from "../models/model.ts";
import { initialState, type Params, type ParamSpec, type State } from "../models/params.ts";
import { isProjection, projectionParams } from "./feature-distillation.ts";
import { loraOptions, type Recipe } from "./recipe.ts";

export interface Student {
  /** Its parameters are those that `state` has values of. */
  readonly model: Model;
  /** Values to begin with. */
  readonly state: State | null;
  /** On the device; none without LoRA. */
  readonly frozen: Params;
  /** What is learned by the names of the original model, all of its parameters. */
  readonly whole: (learned: State) => State;
}

/** What of `model` gets additions; `null` unless the recipe trains "lora". */
export const loraOf = (model: Model, recipe: Recipe): Lora | null =>
  recipe.trainOnly === "lora" ? makeLora(model, loraOptions(recipe)) : null;

/** Values of a model that begins without weights. */
export const firstState = ({ params }: Model, { layerScaleInit: value }: Recipe, seed: number): State =>
  initialState(
    value === null ? params : params.map((spec) => (isLayerScale(spec) ? { ...spec, init: { kind: "constant", value } } : spec)),
    seed,
  );

const isLayerScale = ({ name }: ParamSpec): boolean => /\.(ls[12]\.gamma|gamma_[12])$/.test(name);

/** `state`: the model's weights; without them, for an estimate of memory, all are zeros. */
export function makeStudent(model: Model, recipe: Recipe, state: State | null, seed: number, teacher: Model | null): Student {
  const student = makeLearner(model, recipe, state, seed);
  return recipe.distillation === "features" ? withProjection(student, teacher!, seed) : student;
}

/** `student` with feature distillation's map among its parameters; what it gives as a whole is without. */
function withProjection(student: Student, teacher: Model, seed: number): Student {
  const specs = projectionParams(student.model, teacher);
  return {
    ...student,
    model: { ...student.model, params: [...student.model.params, ...specs] },
    state: student.state && new Map([...student.state, ...initialState(specs, seed)]),
    whole: (learned) => student.whole(new Map([...learned].filter(([name]) => !isProjection(name)))),
  };
}

function makeLearner(model: Model, recipe: Recipe, state: State | null, seed: number): Student {
  const stored = storedModel(model, recipe.dtype);
  const lora = loraOf(model, recipe);
  if (!lora) return { model: stored, state, frozen: {}, whole: (learned) => learned };
  const frozen = loadStored(model.name, model.params, state, recipe.frozenDtype);
  return {
    model: withLora(stored, frozen, lora),
    state: state && initialLora(lora, state, seed),
    frozen,
    whole: (learned) => (state ? mergedLora(lora, state, learned) : learned),
  };
}

/** Which models weights are of, for the error that says they are of another one. */
import { misfits, onlyEndsDiffer, type Spec, type State, type StateError } from "./check-state.ts";
import { createModel, modelNames } from "./model.ts";

const MOST_NAMES = 4;

/**
 * timm's names whose models the state fits but for the head and the image size, those of its own image size alone where there are any; none
 * where no model has such tensors.
 */
export function fittingNames(state: State): readonly string[] {
  const models = modelNames.map((name) => createModel(name)).filter(({ params }) => onlyEndsDiffer(params, state));
  const [positions] = [...state].filter(([name]) => name === "pos_embed");
  const sameSize = models.filter(({ params }) => positions && misfits(params.filter(isPositions), new Map([positions])).length === 0);
  return (sameSize.length > 0 ? sameSize : models).map(({ name }) => name);
}

const isPositions = ({ name }: Spec): boolean => name === "pos_embed";

/** A remark in brackets for weights in which more than a head or the position embedding differs: the models that they fit. */
export function cousins({ specs, state }: StateError): string {
  const names = onlyEndsDiffer(specs, state) ? [] : fittingNames(state).slice(0, MOST_NAMES);
  return names.length > 0 ? ` (weights like these are of ${names.join(", ")})` : "";
}

/** What a user can do about weights that do not fit a model. */
import { onlyEndsDiffer, wrongAmong, type StateError } from "../../models/check-state.ts";
import { cousins } from "../../models/fitting-names.ts";
import { isHead } from "../../models/heads.ts";

/** The options that would make the weights fit, or where more is wrong than they mend the models that the weights are of, as a remark in brackets. */
export function remedy(error: StateError): string {
  const { specs, state } = error;
  if (!onlyEndsDiffer(specs, state)) return cousins(error);
  const [head, positions] = [wrongAmong(specs, state, isHead), wrongAmong(specs, state, (name) => !isHead(name))];
  if (head && positions)
    return " (only the head and the position embedding differ: train --replace-head --resize-pos-embed begins the one anew and interpolates the other)";
  if (head) return " (only the head differs: train --replace-head begins it anew)";
  return positions ? " (only the position embedding differs: --resize-pos-embed interpolates it)" : "";
}

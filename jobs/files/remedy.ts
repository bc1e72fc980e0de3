/** What a user can do about weights that do not fit a model. */
import { onlyEndsDiffer, wrongAmong, type StateError } from "../../models/check-state.ts";
import { isHead } from "../../models/heads.ts";

/** The options that would make the weights fit, as a remark in brackets; empty where more is wrong than they mend, or nothing is misshapen. */
export function remedy({ specs, state }: StateError): string {
  if (!onlyEndsDiffer(specs, state)) return "";
  const [head, positions] = [wrongAmong(specs, state, isHead), wrongAmong(specs, state, (name) => !isHead(name))];
  if (head && positions)
    return " (only the head and the position embedding differ: train --replace-head --resize-pos-embed begins the one anew and interpolates the other)";
  if (head) return " (only the head differs: train --replace-head begins it anew)";
  return positions ? " (only the position embedding differs: --resize-pos-embed interpolates it)" : "";
}

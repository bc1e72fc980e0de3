/** What a user can do about weights that do not fit a model. */
import { misfits, type StateError } from "../../models/check-state.ts";
import { isHead } from "../../models/heads.ts";

const isPositions = (name: string): boolean => name === "pos_embed";

/** The options that would make the weights fit, as a remark in brackets; empty where more is wrong than they mend, or nothing is misshapen. */
export function remedy({ specs, state }: StateError): string {
  const wrongAmong = (of: (name: string) => boolean) =>
    misfits(
      specs.filter((s) => of(s.name)),
      new Map([...state].filter(([name]) => of(name))),
    ).length > 0;
  const [head, positions] = [wrongAmong(isHead), wrongAmong(isPositions)];
  if (wrongAmong((name) => !isHead(name) && !isPositions(name)) || (positions && !state.has("pos_embed"))) return "";
  if (head && positions)
    return " (only the head and the position embedding differ: train --replace-head --resize-pos-embed begins the one anew and interpolates the other)";
  if (head) return " (only the head differs: train --replace-head begins it anew)";
  return positions ? " (only the position embedding differs: --resize-pos-embed interpolates it)" : "";
}

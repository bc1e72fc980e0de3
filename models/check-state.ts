/** Checks that weights fit a model. */
import { sameShape, show, type Shape } from "../engine/shape.ts";
import { shown } from "./shown.ts";
import { isHead } from "./heads.ts";
import { namesOf } from "./config-of.ts";

/** Values by name; f32. `data` may be read from a file or converted anew by each access: take it once. */
export type State = ReadonlyMap<string, { readonly shape: Shape; readonly data: Float32Array }>;

interface Spec {
  readonly name: string;
  readonly shape: Shape;
}

const MOST_LISTED = 16;

/** Missing, unexpected and misshapen tensors, with shapes; empty if all fit. Values are not checked. */
export function misfits(specs: readonly Spec[], state: State): string[] {
  const names = new Set(specs.map((s) => s.name));
  const missing = specs.filter((s) => !state.has(s.name)).map((s) => `${s.name} ${show(s.shape)}`);
  const unexpected = [...state].filter(([name]) => !names.has(name)).map(([name, { shape }]) => `${shown(name)} ${show(shape)}`);
  const misshapen = specs.flatMap((s) => {
    const got = state.get(s.name);
    return got && !sameShape(got.shape, s.shape) ? [`${s.name} is ${show(got.shape)}, expected ${show(s.shape)}`] : [];
  });
  return [...list("missing", missing), ...list("unexpected", unexpected), ...list("misshapen", misshapen)];
}

/** Names of tensors with a NaN or an infinity. */
export const notFinite = (state: State): string[] =>
  [...state].filter(([, { data }]) => !data.every(Number.isFinite)).map(([name]) => name);

/**
 * Throws one error that lists what is missing, unexpected, misshapen or not finite. Strict: no tensor is skipped or made up. Where only a
 * classifier or the position embedding differs, the error says what fits them (`replaceHead`, `resizedPosEmbed`); else the names of timm's that
 * the weights are of.
 */
export function checkState(what: string, specs: readonly Spec[], state: State): void {
  const wrong = misfits(specs, state);
  const broken = wrong.length > 0 ? [] : list("not finite", notFinite(new Map(specs.map((s) => [s.name, state.get(s.name)!]))));
  if (wrong.length + broken.length === 0) return;
  const hint = wrong.length > 0 ? remedy(specs, state) : "";
  throw new Error(`${what}: expected the ${specs.length} tensors of this model, got ${[...wrong, ...broken].join("; ")}${hint}`);
}

const isPositions = (name: string): boolean => name === "pos_embed";

/** Advice: what mends it if only a classifier or the position embedding differs, else the models that the weights fit; empty if none does. */
function remedy(specs: readonly Spec[], state: State): string {
  const among = (of: (name: string) => boolean) =>
    misfits(
      specs.filter((s) => of(s.name)),
      new Map([...state].filter(([name]) => of(name))),
    ).length > 0;
  if (among((name) => !isHead(name) && !isPositions(name)) || (among(isPositions) && !state.has("pos_embed"))) {
    const names = namesOf(state);
    return names.length > 0 ? ` (weights like these are of ${names.slice(0, 4).join(", ")})` : "";
  }
  const [head, positions] = [among(isHead), among(isPositions)];
  const [both, only] = [
    " (only the head and the position embedding differ: train --replace-head --resize-pos-embed begins the one anew and interpolates the other)",
    head
      ? " (only the head differs: train --replace-head begins it anew)"
      : " (only the position embedding differs: --resize-pos-embed interpolates it)",
  ];
  return head && positions ? both : only;
}

function list(title: string, items: readonly string[]): string[] {
  if (items.length === 0) return [];
  return [
    `${title}: ${items.slice(0, MOST_LISTED).join(", ")}${items.length > MOST_LISTED ? ` and ${items.length - MOST_LISTED} more` : ""}`,
  ];
}

/** Checks that weights fit a model. */
import { sameShape, show, type Shape } from "../engine/shape.ts";
import { shown } from "./shown.ts";
import { isHead } from "./heads.ts";

/** Values by name; f32. `data` may be read from a file or converted anew by each access: take it once. */
export type State = ReadonlyMap<string, { readonly shape: Shape; readonly data: Float32Array }>;

export interface Spec {
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

/** Weights that are not those of a model. */
export class StateError extends Error {
  readonly specs: readonly Spec[];
  readonly state: State;

  constructor(message: string, specs: readonly Spec[], state: State) {
    super(message);
    this.specs = specs;
    this.state = state;
  }
}

/** Whether tensors whose name is `of` a kind are missing, unexpected or misshapen. */
export const wrongAmong = (specs: readonly Spec[], state: State, of: (name: string) => boolean): boolean =>
  misfits(
    specs.filter((s) => of(s.name)),
    new Map([...state].filter(([name]) => of(name))),
  ).length > 0;

const isPositions = (name: string): boolean => name === "pos_embed";

/** Whether a classifier's head or the position embedding is all that differs: both can be made to fit. */
export const onlyEndsDiffer = (specs: readonly Spec[], state: State): boolean =>
  !wrongAmong(specs, state, (name) => !isHead(name) && !isPositions(name)) &&
  (!wrongAmong(specs, state, isPositions) || state.has("pos_embed"));

/**
 * Throws one error that lists what is missing, unexpected, misshapen or not finite. Strict: no tensor is skipped or made up. Callers that
 * show the error add the models that the weights fit (`cousins` in fitting-names.ts, which knows every model).
 */
export function checkState(what: string, specs: readonly Spec[], state: State): void {
  const wrong = misfits(specs, state);
  const broken = wrong.length > 0 ? [] : list("not finite", notFinite(new Map(specs.map((s) => [s.name, state.get(s.name)!]))));
  if (wrong.length + broken.length === 0) return;
  throw new StateError(
    `${what}: expected the ${specs.length} tensors of this model, got ${[...wrong, ...broken].join("; ")}`,
    specs,
    state,
  );
}

function list(title: string, items: readonly string[]): string[] {
  if (items.length === 0) return [];
  return [
    `${title}: ${items.slice(0, MOST_LISTED).join(", ")}${items.length > MOST_LISTED ? ` and ${items.length - MOST_LISTED} more` : ""}`,
  ];
}

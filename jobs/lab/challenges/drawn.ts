/** What an entry is judged on: sizes and values that follow from a seed, which is drawn when the entry is judged. */
import type { Arrays, Challenge, Letters } from "../../../checks/challenge.ts";
import { uniform } from "../../../checks/check.ts";
import { shapeOf } from "../../../checks/op.ts";
import { numel, type Shape } from "../../../engine/shape.ts";

/** Sizes that an entry has to be right on, beside the published one. */
const HIDDEN = 4;
/** How far above the published size the other timed one lies, at most, in each letter. */
const NEAR = 0.2;

export const newSeed = (): number => crypto.getRandomValues(new Uint32Array(1))[0]!;

/** Numbers in [0, 1), one after the other. */
function draws(seed: number): () => number {
  const values = uniform(256, seed);
  let at = 0;
  return () => (values[at++]! + 1) / 2;
}

/** Sizes to be right on: each letter on its own; every other one has odd sizes, as far as a letter's step allows. */
export function hiddenSizes({ hidden }: Challenge, seed: number): Letters[] {
  const draw = draws(seed);
  return Array.from({ length: HIDDEN }, (_, i) =>
    Object.fromEntries(
      Object.entries(hidden).map(([letter, [least, most, step = 1]]) => {
        const size = Math.ceil(least / step) + Math.floor(draw() * (Math.floor(most / step) - Math.ceil(least / step) + 1));
        const odd = i % 2 === 0 && size % 2 === 0 ? size - 1 : size;
        return [letter, Math.max(odd, Math.ceil(least / step)) * step];
      }),
    ),
  );
}

/** A size to be timed on beside the published one: a little larger in each letter. */
export function nearSize({ hidden }: Challenge, published: Letters, seed: number): Letters {
  const draw = draws(seed + 1);
  return Object.fromEntries(
    Object.entries(published).map(([letter, size]) => {
      const [, , step = 1] = hidden[letter]!;
      return [letter, size + step * Math.max(1, Math.round((size * NEAR * draw()) / step))];
    }),
  );
}

/** Shapes of the inputs on a size. */
export const shapesOf = ({ inputs }: Challenge, n: Letters): Readonly<Record<string, Shape>> =>
  Object.fromEntries(Object.entries(inputs).map(([name, shape]) => [name, shapeOf(shape, { lead: [], n }, {})]));

interface ValuesOptions {
  /** Large ones, or far from zero. */
  readonly stretched?: boolean;
  /** Others that these are to be like, but for a share of the elements: what looks at a few of them does not tell both apart. */
  readonly like?: { readonly values: Arrays; readonly changed: number };
}

/** An input of each name, and what follows from them. */
export function valuesFor(challenge: Challenge, n: Letters, seed: number, { stretched = false, like }: ValuesOptions = {}): Arrays {
  const values: Record<string, Float64Array> = {};
  Object.entries(shapesOf(challenge, n)).forEach(([name, shape], i) => {
    const made = (stretched && challenge.stretched?.[name]) || challenge.values?.[name] || ((u: number) => u);
    const own = uniform(numel(shape), seed + i).map((u) => Math.fround(made(u)));
    const which = uniform(like ? own.length : 0, seed + i + 500);
    values[name] = like ? own.map((v, at) => ((which[at]! + 1) / 2 < like.changed ? v : like.values[name]![at]!)) : own;
  });
  const derived = challenge.derive?.(values, n) ?? {};
  return { ...values, ...Object.fromEntries(Object.entries(derived).map(([name, array]) => [name, array.map(Math.fround)])) };
}

/** Whether an entry is right on a size, in memory that was NaN before and has canaries around it; and what is wrong, by name. */
import type { Arrays, Challenge, Letters, Tensors } from "../../../checks/challenge.ts";
import { AstrayError, guarded } from "../../../checks/guarded.ts";
import { collect } from "../../../engine/memory.ts";
import { isPlain } from "../../../engine/errors.ts";
import { Tensor } from "../../../engine/tensor.ts";
import { shapesOf, valuesFor } from "./drawn.ts";

/** Three are no faults of a kernel but ways to a score without the work. */
export type Refusal = "fixed shape" | "constants" | "work left out" | "wrong";

export interface Fault {
  readonly kind: Refusal;
  /** "y[17]: expected 0.25, got 0.5" */
  readonly why: string;
}

/** What is judged: an entry, or the shipped kernels themselves. Returns what launches it, once all that comes before has run. */
export type Judged = (inputs: Tensors, n: Letters) => () => Tensors;

export const tensorsOf = (challenge: Challenge, n: Letters, values: Arrays): Tensors =>
  Object.fromEntries(Object.entries(shapesOf(challenge, n)).map(([name, shape]) => [name, Tensor.from(values[name]!, shape)]));

/** Null where all outputs are right. */
export async function faultAt(challenge: Challenge, judged: Judged, n: Letters, seed: number, stretched = false): Promise<Fault | null> {
  const values = valuesFor(challenge, n, seed, { stretched });
  const { outputs, fault } = await ran(challenge, judged, n, values);
  if (fault) return fault;
  for (const [name, expected] of Object.entries(challenge.reference(values, n))) {
    const got = outputs[name]!;
    const at = firstOff(got, expected, challenge.tolerance);
    if (at === null) continue;
    const wanted = `${name}[${at}]: expected ${figure(expected[at]!)}`;
    if (isUnwritten(got, at)) return { kind: "work left out", why: `${wanted}, got memory that was never written` };
    const why = `${wanted}, got ${figure(got[at]!)}`;
    const others = await ran(challenge, judged, n, valuesFor(challenge, n, seed + 1000, { stretched }));
    if (got.every((v, i) => Object.is(v, others.outputs?.[name]?.[i])))
      return { kind: "constants", why: `${why}; all of ${name} is the same for other values of the inputs` };
    return { kind: "wrong", why };
  }
  return null;
}

type Ran =
  | { readonly outputs: Readonly<Record<string, Float32Array>>; readonly fault?: undefined }
  | { readonly outputs?: undefined; readonly fault: Fault };

/** The outputs of one run, or why there are none. */
async function ran(challenge: Challenge, judged: Judged, n: Letters, values: Arrays): Promise<Ran> {
  const { result: inputs, storages } = collect(() => tensorsOf(challenge, n, values));
  try {
    const names: string[] = [];
    const bits = await guarded(() => {
      const outputs = judged(inputs, n)();
      names.push(...Object.keys(outputs));
      return Object.values(outputs);
    });
    return { outputs: Object.fromEntries(names.map((name, i) => [name, new Float32Array(bits[i]!.slice().buffer)])) };
  } catch (error) {
    if (error instanceof AstrayError || isPlain(error)) return { fault: { kind: "wrong", why: (error as Error).message } };
    throw error;
  } finally {
    for (const storage of storages) storage.free();
  }
}

export const TOLERANCE = 1e-4;

/** The first element that is further off than the tolerance times the largest expected, or null. */
export function firstOff(got: Float32Array, expected: ArrayLike<number>, tolerance = TOLERANCE): number | null {
  const most = largest(expected);
  for (let i = 0; i < expected.length; i++) if (!(Math.abs(got[i]! - expected[i]!) <= tolerance * most)) return i;
  return null;
}

/** The largest size of a number. */
export function largest(values: ArrayLike<number>): number {
  let most = 0;
  for (let i = 0; i < values.length; i++) most = Math.max(most, Math.abs(values[i]!));
  return most;
}

/** Whether an element still is what memory was filled with before: all bits set. */
export const isUnwritten = (values: Float32Array, at: number): boolean =>
  new Uint32Array(values.buffer, values.byteOffset)[at] === 0xffffffff;

export const figure = (value: number): string => String(Number(value.toPrecision(6)));

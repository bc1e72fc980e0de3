/** Holds kernels to plain f64 references: values element by element, gradients along random directions. */
import { gradients } from "../engine/autograd.ts";
import { withRecorder } from "../engine/launch.ts";
import { collect, scope } from "../engine/memory.ts";
import { rewriteModules, type Module } from "./rewrite.ts";
import { readAll, Tensor } from "../engine/tensor.ts";
import { numel, sameShape, show, type Shape } from "../engine/shape.ts";
import { AstrayError, guarded } from "./guarded.ts";

/** One test, for Node and for a page. `run` throws if it fails; a case of `checkOp` resolves to a `Checked`. */
export interface Case {
  /** `op: why this case is there` */
  readonly name: string;
  /** Device features without which the case cannot run. */
  readonly needs?: readonly string[];
  /** Takes a page's software adapter long: runs there in the slow suite only. */
  readonly long?: boolean;
  run(): Promise<unknown>;
}

/** An array held to what it should be. */
export interface Finding {
  readonly ok: boolean;
  /** The largest error: relative to 1 + |expected| for values, to 1 + the gradient's norm for a gradient along a direction. */
  readonly worst: number;
  /** The element that is furthest off, in row-major order; of a gradient only where it is wrong. */
  readonly at: number | null;
  readonly got: number | null;
  readonly expected: number | null;
}

/** How closely an operation's results hold. */
export class Checked {
  readonly values: Finding;
  /** By the input's number. */
  readonly gradients: Readonly<Record<number, Finding>>;
  /** Faults that values do not show: writes past an end, reads of memory that was never written. */
  readonly faults: readonly string[];

  constructor(values: Finding, gradients: Readonly<Record<number, Finding>>, faults: readonly string[]) {
    this.values = values;
    this.gradients = gradients;
    this.faults = faults;
  }
}

/** All faults that `checkOp` found; the message has the first. */
export class CheckError extends Error {
  override readonly name = "CheckError";
  readonly checked: Checked;

  constructor(message: string, checked: Checked) {
    super(message);
    this.checked = checked;
  }
}

export type Values = ArrayLike<number>;

export interface Check {
  /** Shapes of inputs, filled with random values in [-1, 1); or shapes with values. */
  readonly inputs: readonly (Shape | { readonly shape: Shape; readonly values: Values })[];
  readonly op: (...inputs: Tensor[]) => Tensor;
  /** The forward in f64. Backward needs no reference: differences of this one judge it. */
  readonly reference: (...inputs: Float64Array[]) => ArrayLike<number>;
  readonly shape?: Shape;
  /** Relative to 1 + |expected| for values and to the gradient's norm for directions. */
  readonly tol?: number;
  /** Inputs whose gradient is to be checked; all unless given. */
  readonly grads?: readonly number[];
}

const STEP = 1e-5;
const DIRECTIONS = 2;

/** What `checkOp` computes in f64, by name. The same on every run of a case. */
export type Kept = Map<string, unknown>;

let kept: { readonly values: Kept; calls: number } | null = null;

/** Runs a case with what an earlier run of it has left in `values`: a case that is judged again and again takes its references from there. */
export async function keeping<T>(values: Kept, run: () => T | Promise<T>): Promise<T> {
  kept = { values, calls: 0 };
  try {
    return await run();
  } finally {
    kept = null;
  }
}

type Keep = <T>(name: string, make: () => T) => T;

/** Of one call of `checkOp`. */
function keeper(): Keep {
  if (!kept) return (_, make) => make();
  const { values } = kept;
  const call = kept.calls++;
  return <T>(name: string, make: () => T) => {
    const key = `${call} ${name}`;
    if (!values.has(key)) values.set(key, make());
    return values.get(key) as T;
  };
}

/**
 * Runs `op` on the GPU, once as users do and once in memory that shows writes past its ends (guarded.ts), and compares. For each input x,
 * along random directions v,
 *
 *   <dL/dx, v> = d/dt L(x + t v),   L = <reference(x), dy>,
 *
 * the right side by central difference of the f64 reference, so that `tol` need only cover f32.
 */
export async function checkOp({ inputs, op, reference, shape, tol = 1e-4, grads }: Check): Promise<Checked> {
  const shapes = inputs.map((i) => ("shape" in i ? i.shape : i));
  if (listing)
    return listed(
      inputs.map((i, k) => [shapes[k]!, "shape" in i ? i.values : null]),
      op,
      grads ?? inputs.map((_, i) => i),
    );
  const keep = keeper();
  const values = keep("inputs", () => inputs.map((i, k) => ("shape" in i ? Float64Array.from(i.values) : uniform(numel(i), k + 1))));
  const wanted = grads ?? inputs.map((_, i) => i);
  const expected = keep("y", () => reference(...values));
  const dyValues = keep("dy", () => uniform(expected.length, 100));

  const run = () => {
    const tensors = values.map((v, i) => Tensor.from(v, shapes[i]!));
    for (const i of wanted) tensors[i]!.requiresGrad = true;
    const y = op(...tensors);
    if (shape && !sameShape(y.shape, shape)) throw new Error(`shape: expected ${show(shape)}, got ${show(y.shape)}`);
    if (y.size !== expected.length) throw new Error(`size: expected ${expected.length}, got ${y.size} (${show(y.shape)})`);
    if (wanted.length === 0) return [y];
    return [
      y,
      ...gradients(
        y,
        wanted.map((i) => tensors[i]!),
        Tensor.from(dyValues, y.shape),
      ),
    ];
  };
  const result = scope(run);
  // Neither waits for the other.
  const [read, again] = await Promise.all([readAll(result) as Promise<Float32Array[]>, guardedBits(run)]);
  for (const t of result) t.dispose();
  const [y, ...found] = read;
  const faults = memoryFaults(again, read, (i) => (i === 0 ? "y" : `gradient of input ${wanted[i - 1]}`));

  const L = (input: number, x: Float64Array) => dot(reference(...values.with(input, x)), dyValues);
  const checked = new Checked(
    compareValues(y!, expected, tol),
    Object.fromEntries(
      wanted.map((input, k) => [input, compareGradient(found[k]!, values[input]!, (x) => L(input, x), 200 + 10 * input, tol, keep)]),
    ),
    faults,
  );
  const wrong = Object.entries(checked.gradients).find(([, { ok }]) => !ok);
  const message =
    faults[0] ?? (!checked.values.ok ? told("y", checked.values, tol) : wrong && told(`gradient of input ${wrong[0]}`, wrong[1], tol));
  if (message !== undefined) throw new CheckError(message, checked);
  return checked;
}

let listing = false;

/** The modules that a case launches, each once. A case of `checkOp` is only listed: nothing of it is compiled or run. */
export async function modulesOf(one: Case): Promise<readonly Module[]> {
  const modules = new Map<string, Module>();
  const stop = rewriteModules((module) => {
    modules.set(module.code, module);
    return null;
  });
  listing = true;
  try {
    await one.run();
  } finally {
    listing = false;
    stop();
  }
  return [...modules.values()];
}

/** Records the launches of `op` and of its gradients, on inputs of these shapes. */
function listed(inputs: readonly (readonly [Shape, Values | null])[], op: Check["op"], wanted: readonly number[]): Checked {
  scope(() =>
    withRecorder({ launches: [] }, () => {
      const tensors = inputs.map(([shape, values]) => (values ? Tensor.from(values, shape) : Tensor.zeros(shape)));
      for (const i of wanted) tensors[i]!.requiresGrad = true;
      const y = op(...tensors);
      if (wanted.length > 0)
        gradients(
          y,
          wanted.map((i) => tensors[i]!),
          y,
        );
    }),
  );
  return new Checked({ ok: true, worst: 0, at: null, got: null, expected: null }, {}, []);
}

const told = (what: string, { at, got, expected }: Finding, tol: number): string =>
  `${what}[${at}]: expected ${expected}, got ${got} (tolerance ${tol.toExponential(1)})`;

/** Results in guarded memory, or what went astray there. */
const guardedBits = (run: () => readonly Tensor[]): Promise<readonly Uint8Array[] | AstrayError> =>
  guarded(run).catch((error: unknown) => {
    if (error instanceof AstrayError) return error;
    throw error;
  });

/** Faults found in guarded memory: stray writes, and results whose bits differ from an ordinary run's. */
function memoryFaults(
  again: readonly Uint8Array[] | AstrayError,
  seen: readonly Float32Array[],
  name: (i: number) => string,
): readonly string[] {
  if (again instanceof AstrayError) return [again.message];
  return again.flatMap((bits, i) => {
    const values = seen[i]!;
    const before = new Uint32Array(values.buffer, values.byteOffset, values.length);
    const after = new Uint32Array(bits.buffer, bits.byteOffset, values.length);
    const at = before.findIndex((word, k) => word !== after[k]);
    if (at < 0) return [];
    const other = new Float32Array(bits.buffer, bits.byteOffset, values.length)[at];
    return [`${name(i)}[${at}]: expected the same bits in memory that was NaN before, got ${values[at]} and then ${other}`];
  });
}

function compareValues(got: Float32Array, expected: ArrayLike<number>, tol: number): Finding {
  let at = 0,
    worst = 0;
  for (let i = 0; i < expected.length; i++) {
    const error = Math.abs(got[i]! - expected[i]!) / (1 + Math.abs(expected[i]!));
    if (error <= worst) continue;
    [at, worst] = [i, error];
    if (Number.isNaN(error)) break;
  }
  return { ok: worst <= tol, worst, at, got: got[at] ?? null, expected: expected[at] ?? null };
}

/** Holds gradient `g` at x to differences of `L`, along random directions; where one is wrong, finds the element. */
function compareGradient(g: Float32Array, x: Float64Array, L: (x: Float64Array) => number, seed: number, tol: number, keep: Keep): Finding {
  const scale = 1 + Math.sqrt(dot(g, g));
  const along = (v: Float64Array) => (L(x.map((e, i) => e + STEP * v[i]!)) - L(x.map((e, i) => e - STEP * v[i]!))) / (2 * STEP);
  let worst = 0;
  for (let d = 0; d < DIRECTIONS; d++) {
    const [v, slope] = keep(`direction ${seed + d}`, () => {
      const v = uniform(x.length, seed + d);
      return [v, along(v)] as const;
    });
    const error = Math.abs(dot(g, v) - slope) / scale;
    if (!(error <= tol)) {
      const at = furthest(g, v, along);
      return { ok: false, worst: error, at, got: g[at]!, expected: along(new Float64Array(x.length).fill(1, at, at + 1)) };
    }
    worst = Math.max(worst, error);
  }
  return { ok: true, worst, at: null, got: null, expected: null };
}

/** The element of `g` that spoils <g, v>: the half of v that is further off than the other is halved again. */
function furthest(g: Float32Array, v: Float64Array, along: (v: Float64Array) => number): number {
  const broken = g.findIndex((e) => !Number.isFinite(e));
  if (broken >= 0) return broken;
  let [from, to] = [0, g.length];
  const error = (start: number, end: number) => {
    const part = v.map((e, i) => (i >= start && i < end ? e : 0));
    return Math.abs(dot(g, part) - along(part));
  };
  while (to - from > 1) {
    const middle = (from + to) >> 1;
    if (error(from, middle) >= error(middle, to)) to = middle;
    else from = middle;
  }
  return from;
}

export function close(what: string, got: number, expected: number, tol: number): void {
  if (!(Math.abs(got - expected) <= tol)) throw new Error(`${what}: expected ${expected}, got ${got} (tolerance ${tol.toExponential(1)})`);
}

/** Throws unless `body` fails with a message that matches. */
export async function refuses(body: () => unknown, message: RegExp): Promise<void> {
  try {
    const { result, storages } = collect(body); // where it throws at once, nothing is held
    try {
      await result;
    } finally {
      for (const storage of storages) storage.free();
    }
  } catch (error) {
    if (message.test((error as Error).message)) return;
    throw new Error(`expected an error like ${message}, got: ${(error as Error).message}`);
  }
  throw new Error(`expected an error like ${message}, got none`);
}

export function dot(a: Values, b: Values): number {
  let s = 0;
  for (let i = 0; i < a.length; i++) s += a[i]! * b[i]!;
  return s;
}

/** n seeded values in [-1, 1), exact in f32 (splitmix32). */
export function uniform(n: number, seed: number): Float64Array {
  let s = Math.imul(seed, 0x9e3779b9);
  return Float64Array.from({ length: n }, () => {
    s = (s + 0x9e3779b9) | 0;
    let t = Math.imul(s ^ (s >>> 16), 0x21f0aaad);
    t = Math.imul(t ^ (t >>> 15), 0x735a2d97);
    return Math.fround(((t ^ (t >>> 15)) >>> 0) / 2 ** 31 - 1);
  });
}

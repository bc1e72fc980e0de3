/** Holds kernels to plain f64 references: values element by element, gradients along random directions. */
import { gradients } from "../engine/autograd.ts";
import { readAll, Tensor } from "../engine/tensor.ts";
import { scope } from "../engine/memory.ts";
import { numel, sameShape, show, type Shape } from "../engine/shape.ts";
import { guarded } from "./guarded.ts";

/** One thing to hold, in Node and in a page alike. `run` throws when it does not. */
export interface Case {
  /** `op: why this case is there` */
  readonly name: string;
  /** Device features without which the case cannot run. */
  readonly needs?: readonly string[];
  run(): Promise<void>;
}

export type Values = ArrayLike<number>;

export interface Check {
  /** Inputs' shapes, or their values where random ones in [-1, 1) will not do. */
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

/**
 * Runs `op` on the GPU, once as users do and once in memory that shows writes past its ends (guarded.ts), and compares. For each input x, along random directions v,
 *
 *   <dL/dx, v> = d/dt L(x + t v),   L = <reference(x), dy>,
 *
 * the right side by central difference of the f64 reference, so that `tol` need only cover f32.
 */
export async function checkOp({ inputs, op, reference, shape, tol = 1e-4, grads }: Check): Promise<void> {
  const shapes = inputs.map((i) => ("shape" in i ? i.shape : i));
  const values = inputs.map((i, k) => ("shape" in i ? Float64Array.from(i.values) : uniform(numel(i), k + 1)));
  const wanted = grads ?? inputs.map((_, i) => i);
  const expected = reference(...values);
  const dyValues = uniform(expected.length, 100);

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
  const [y, ...found] = (await readAll(result)) as Float32Array[];
  for (const t of result) t.dispose();
  const again = await guarded(run);
  again.forEach((bits, i) => {
    const values = [y!, ...found][i]!;
    const other = new Uint8Array(values.buffer, values.byteOffset, values.byteLength).findIndex((byte, at) => byte !== bits[at]);
    if (other >= 0)
      throw new Error(
        `${i === 0 ? "y" : `gradient of input ${wanted[i - 1]}`}: expected the same bits in memory that was NaN before, got others at byte ${other}`,
      );
  });

  for (let i = 0; i < expected.length; i++) close(`y[${i}]`, y![i]!, expected[i]!, tol * (1 + Math.abs(expected[i]!)));
  wanted.forEach((input, k) => {
    const x = values[input]!;
    const g = found[k]!;
    const norm = Math.sqrt(dot(g, g));
    for (let d = 0; d < DIRECTIONS; d++) {
      const v = uniform(x.length, 200 + 10 * input + d);
      const L = (t: number) =>
        dot(
          reference(
            ...values.with(
              input,
              x.map((e, i) => e + t * v[i]!),
            ),
          ),
          dyValues,
        );
      close(`gradient of input ${input}`, dot(g, v), (L(STEP) - L(-STEP)) / (2 * STEP), tol * (1 + norm));
    }
  });
}

export function close(what: string, got: number, expected: number, tol: number): void {
  if (!(Math.abs(got - expected) <= tol)) throw new Error(`${what}: expected ${expected}, got ${got} (tolerance ${tol.toExponential(1)})`);
}

/** Throws unless `body` fails with a message that matches. */
export async function refuses(body: () => unknown, message: RegExp): Promise<void> {
  try {
    await body();
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

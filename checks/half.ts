/** Holds kernels on tensors stored as f16 to f64 references on the same rounded inputs. */
import { gradients } from "../engine/autograd.ts";
import { trimPool } from "../engine/launch.ts";
import { scope } from "../engine/memory.ts";
import { numel, type Shape } from "../engine/shape.ts";
import { readAll, Tensor } from "../engine/tensor.ts";
import { cast } from "../kernels/cast.ts";
import { close, dot, uniform, type Values } from "./check.ts";

/** Rounding to f16 changes a value by at most this share of it. */
const UNIT = 2 ** -11;

/** The nearest f16, ties to even; for magnitudes below 65504. */
export function toHalf(v: number): number {
  if (v === 0) return v;
  const step = 2 ** (Math.max(Math.floor(Math.log2(Math.abs(v))), -14) - 10);
  const n = v / step,
    low = Math.floor(n);
  const up = n - low > 0.5 || (n - low === 0.5 && low % 2 !== 0);
  return (low + (up ? 1 : 0)) * step;
}
export const halves = (n: number, seed: number): Float64Array => uniform(n, seed).map(toHalf);

export interface HalfCheck {
  readonly inputs: readonly (Shape | { readonly shape: Shape; readonly values: Values })[];
  readonly op: (...inputs: Tensor[]) => Tensor;
  readonly reference: (...inputs: Float64Array[]) => ArrayLike<number>;
  /** Roundings to f16 between inputs and result, each of up to `UNIT` of values of the result's size: one store unless given. */
  readonly roundings?: number;
  /** Inputs that stay f32: parameters of norms. */
  readonly wide?: readonly number[];
  readonly grads?: readonly number[];
}

const STEP = 1e-5;

/** Fills the pool's buffers of these sizes with NaN, so that what a kernel leaves unwritten, or reads past an end, shows. */
function poison(sizes: readonly number[]): void {
  scope(() => {
    for (const n of sizes) for (let k = 0; k < 3; k++) Tensor.from(new Uint32Array(n + 64).fill(0x7fff7fff), [n + 64], "u32");
  });
}

/**
 * Values within `roundings` units of 1 + |expected|; gradients along a direction within four of them, of dy's, x's and their own
 * rounding, of 1 + their norm.
 */
export async function checkHalf({ inputs, op, reference, roundings = 1, wide = [], grads }: HalfCheck): Promise<void> {
  const shapes = inputs.map((i) => ("shape" in i ? i.shape : i));
  const values = inputs.map((i, k) => ("shape" in i ? Float64Array.from(i.values, toHalf) : halves(numel(i), k + 1)));
  const wanted = grads ?? inputs.map((_, i) => i);
  const expected = reference(...values);
  const dyValues = halves(expected.length, 100);
  trimPool();
  poison([...values.map((v) => v.length), ...values.map((v) => Math.ceil(v.length / 2)), expected.length, Math.ceil(expected.length / 2)]);
  const { read, dtype } = scope(() => {
    const leaves = values.map((v, i) => Tensor.from(v, shapes[i]!));
    for (const i of wanted) leaves[i]!.requiresGrad = true;
    const y = op(...leaves.map((t, i) => (wide.includes(i) ? t : cast(t, "f16"))));
    const found =
      wanted.length > 0
        ? gradients(
            y,
            wanted.map((i) => leaves[i]!),
            cast(Tensor.from(dyValues, y.shape), y.dtype as "f32" | "f16"),
          )
        : [];
    return { read: [cast(y.detach(), "f32"), ...found.map((g) => cast(g, "f32"))], dtype: y.dtype };
  });
  const [y, ...found] = (await readAll(read)) as Float32Array[];
  for (const t of read) t.dispose();
  if (expected.length > 1 && dtype !== "f16") throw new Error(`dtype: expected f16, got ${dtype}`);
  const tol = roundings * UNIT;
  for (let i = 0; i < expected.length; i++) close(`y[${i}]`, y![i]!, expected[i]!, tol * (1 + Math.abs(expected[i]!)));
  wanted.forEach((input, k) => {
    const x = values[input]!,
      g = found[k]!;
    const v = uniform(x.length, 200 + input);
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
    close(`gradient of input ${input}`, dot(g, v), (L(STEP) - L(-STEP)) / (2 * STEP), 4 * tol * (1 + Math.sqrt(dot(g, g))));
  });
}

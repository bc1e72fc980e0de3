/** The optimizers' cases share these: values by seed, the scalars of a step, recorded parameters as one list, and comparisons. */
import { Scalars, type Scalar } from "../kernels/shared/scalars.ts";
import { Tensor } from "../engine/tensor.ts";
import { close, uniform, type Values } from "../checks/check.ts";

export const from = (values: Values) => Tensor.from(values, [values.length]);
export const zeros = (n: number) => Tensor.zeros([n]);
export const values = (n: number, seed: number, by = 1) => uniform(n, seed).map((v) => Math.fround(by * v));
export const optimizerScalars = () => new Scalars({ unused: "u32", lr: "f32", bias1: "f32", bias2: "f32" });
export const at = (s: { at(name: "lr" | "bias1" | "bias2"): Scalar }) => ({ lr: s.at("lr"), bias1: s.at("bias1"), bias2: s.at("bias2") });

export function near(what: string, got: Values, expected: Values, tol = 1e-6): void {
  if (got.length !== expected.length) throw new Error(`${what}: expected ${expected.length} values, got ${got.length}`);
  for (let i = 0; i < expected.length; i++) close(`${what}[${i}]`, got[i]!, expected[i]!, tol * (1 + Math.abs(expected[i]!)));
}

export function same(what: string, got: unknown, expected: unknown): void {
  if (String(got) !== String(expected))
    throw new Error(`${what}: expected ${String(expected).slice(0, 200)}, got ${String(got).slice(0, 200)}`);
}

export type Recorded = Record<"weight" | "bias", readonly (number | readonly number[])[]>;
export const flat = ({ weight, bias }: Recorded): number[] => [...weight.flat(), ...bias.flat()];

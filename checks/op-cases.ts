/** Makes an operation's cases from its catalog entry. */
import type { Tensor } from "../engine/tensor.ts";
import { checkOp, type Case, type Checked } from "./check.ts";
import { differentiable, type Op, type Sized } from "./op.ts";

/**
 * A case for each of `sizes`, by the reason why it is there: values against the reference, gradients along random directions, memory
 * guarded. `variants`: those to run with, of a problem's letters; the default kernel unless given.
 */
export const opCases = (op: Op, sizes: Readonly<Record<string, string>>, variants?: (n: Sized["n"]) => readonly string[]): Case[] =>
  Object.entries(sizes).flatMap(([why, text]) => {
    const problem = op.problem(text);
    return (variants?.(problem.n) ?? [undefined]).map((variant) => ({
      name: `${op.name}${variant ? ` (${variant})` : ""}: ${why}`,
      run: () => checkSized(op, problem, variant),
    }));
  });

function checkSized(op: Op, { inputs, attrs, y }: Sized, variant: string | undefined): Promise<Checked> {
  if (!op.reference) throw new Error(`${op.name}: expected a reference to check against, got none`);
  const names = Object.keys(inputs);
  const named = <T>(values: readonly T[]): Record<string, T> => Object.fromEntries(names.map((name, i) => [name, values[i]!]));
  return checkOp({
    inputs: Object.values(inputs),
    op: (...tensors: Tensor[]) => op.run(named(tensors), attrs, variant)["y"]!,
    reference: (...values) => op.reference!(named(values), inputs, attrs),
    shape: y,
    grads: names.flatMap((name, i) => (differentiable(op).includes(name) ? [i] : [])),
  });
}

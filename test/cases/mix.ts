import { constant } from "../../kernels/shared/scalars.ts";
import { Tensor } from "../../engine/tensor.ts";
import { mixTargets } from "../../kernels/mix.ts";
import { close, type Case } from "../../checks/check.ts";
import golden from "../golden/losses.json" with { type: "json" };

async function near(what: string, y: Tensor, expected: readonly number[], tol: number): Promise<void> {
  const got = await y.floats();
  if (got.length !== expected.length) throw new Error(`${what}: expected ${expected.length} values, got ${got.length}`);
  expected.forEach((v, i) => close(`${what}[${i}]`, got[i]!, v, tol));
}

export const cases: Case[] = [
  ...Object.entries(golden.groups).map(([name, { labels, target }]) => ({
    name: `mixTargets: as recorded, ${name}`,
    run: () =>
      near(
        "targets",
        mixTargets(Tensor.from(labels, [labels.length], "u32"), { classes: target[0]!.length, lam: constant(0.3), smoothing: 0.1 }),
        target.flat(),
        1e-7,
      ),
  })),
];

/** All benchmarks, as data; every contender gets the same benchmark and inputs. */
import type { Adapter, Benchmark, Suite } from "./benchmark.ts";
import { inference, training } from "./cases/models.ts";
import { kernels } from "./cases/kernels.ts";
import { scalingCases } from "./cases/scaling.ts";

export const cases: readonly Benchmark[] = [...kernels, ...inference, ...training, ...scalingCases];

export interface Choice {
  readonly suite: Suite | "all";
  readonly quick: boolean;
  /** Also what takes minutes on a software adapter. */
  readonly large?: boolean | undefined;
  /** Only names that contain this. */
  readonly only: string;
}

/** The cases of a choice that an adapter can afford. */
export const chosenCases = (set: Adapter, { suite, quick, large = false, only }: Choice): Benchmark[] =>
  cases.filter(
    (c) =>
      (c.sets.includes(set) || (large && c.sets.includes("large"))) &&
      (suite === "all" || c.suite === suite) &&
      (!quick || c.quick) &&
      c.name.includes(only),
  );

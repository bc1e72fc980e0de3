/** The paper's experiments, together: five tables, and the runs behind them. */
import { ablation } from "./ablation.ts";
import { distillation } from "./distillation.ts";
import type { Run, Table, TableName } from "./experiment.ts";
import { regimes } from "./regimes.ts";
import type { Scale } from "./scales.ts";
import { candidates, teachers } from "./teachers.ts";
import { transfer } from "./transfer.ts";

/** In the order in which they are run: what is of use alone comes first. */
export const tablesOf = (scale: Scale): Table[] => [regimes, teachers, distillation, ablation, transfer].map((make) => make(scale));

/** The runs of some tables, in their order, each once, and before them the teachers that they need. `given`: a DeiT that needs no training. */
export function runsOf(scale: Scale, names: readonly TableName[], given: { readonly deit: boolean }): Run[] {
  const runs = new Map<string, Run>();
  const { cnn, deit } = candidates(scale);
  const add = (run: Run): void => {
    const sources = [run.teacher, run.from, run.model === "best-deit" ? run.model : undefined];
    if (sources.some((s) => s === "equal-cnn" || s === "equal-deit")) [...cnn, ...deit].forEach(add);
    if (sources.includes("best-deit") && !given.deit) deit.forEach(add);
    const known = runs.get(run.id);
    // A run of two tables has the seeds of the one that asks for more.
    if (!known || (known.seeds ?? Infinity) < (run.seeds ?? Infinity)) runs.set(run.id, run);
  };
  for (const table of tablesOf(scale).filter(({ name }) => names.includes(name)))
    for (const group of table.groups) for (const { run } of group.rows) add(run);
  return [...runs.values()];
}

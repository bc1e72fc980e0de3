/** A row's figures, by seed. */
import type { Row, Run } from "../../train/experiments/experiment.ts";
import type { Outcome } from "./outcome.ts";
import type { BySeed } from "./statistics.ts";

/** Finds the kept results of a run. */
export type Find = (run: Run) => readonly Outcome[];

/** In percent; seeds whose run has no such answer are left out. */
export const figures = (row: Row, find: Find): BySeed =>
  new Map(find(row.run).flatMap((o) => (o.top1[row.answer] === undefined ? [] : [[o.seed, 100 * o.top1[row.answer]!] as const])));

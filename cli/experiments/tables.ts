/** From runs to tables: means over seeds, their deviation, and differences from the row that each table compares with. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { TABLES, type Answer, type Experiment, type Scale, type Table } from "../../train/experiments/suite.ts";
import { teacherTop1, type TeacherTop1 } from "./teacher.ts";

/** One training, as kept in its folder. Shares, not percent. */
export interface Outcome {
  readonly id: string;
  readonly seed: number;
  readonly command: string;
  readonly top1: Readonly<Partial<Record<Answer, number>>> & { readonly model: number };
  readonly trainTop1: number;
  readonly trainLoss: number;
  readonly steps: number;
  readonly seconds: number;
  readonly imagesPerSecond: number;
  readonly testImages: number;
  readonly adapter: Readonly<Record<string, unknown>>;
  readonly where: string;
  readonly commit: string;
  readonly date: string;
}

/** One line of a table, in percent. */
export interface Line {
  readonly label: string;
  readonly id: string;
  readonly values: readonly number[];
  readonly mean: number;
  /** Over seeds, n - 1; `null` of one seed. */
  readonly deviation: number | null;
  /** Mean difference from the table's first line over the seeds that both have, and its standard error. */
  readonly gain: { readonly mean: number; readonly error: number | null; readonly seeds: number } | null;
  readonly trainTop1: number;
  readonly paper: number | null;
  readonly paperGain: number | null;
}

export interface Results {
  readonly scale: Scale;
  readonly teacherTop1: { readonly cnn: TeacherTop1 | null; readonly deit: number | null };
  readonly tables: Readonly<Record<Table, readonly Line[]>>;
  readonly outcomes: readonly Outcome[];
  /** Notes on the runs for the reader. */
  readonly note?: string;
}

/** Everything that is done in `out`. Seeds are the folders that are there. */
export function collect(all: readonly Experiment[], scale: Scale, out: string): Results {
  const outcomes = new Map(all.map((e) => [e.id, seedsOf(out, e.id)]));
  return tabulate(all, scale, outcomes, teacherTop1(out));
}

function seedsOf(out: string, id: string): Outcome[] {
  const found: Outcome[] = [];
  for (let seed = 0; seed < 100; seed++) {
    const path = join(out, id, `seed-${seed}`, "result.json");
    if (existsSync(path)) found.push(JSON.parse(readFileSync(path, "utf8")) as Outcome);
  }
  return found;
}

export function tabulate(
  all: readonly Experiment[],
  scale: Scale,
  outcomes: ReadonlyMap<string, readonly Outcome[]>,
  cnn: TeacherTop1 | null,
): Results {
  const tables = Object.fromEntries(
    TABLES.map((table) => {
      const rows = all
        .filter((e) => e.table === table)
        .flatMap((e) => e.rows.map((row) => ({ e, row, runs: outcomes.get(e.id) ?? [] })))
        .filter(({ runs }) => runs.length > 0);
      const first = rows[0];
      return [
        table,
        rows.map(({ e, row, runs }): Line => {
          const values = runs.map((r) => 100 * r.top1[row.answer]!);
          const paper = row.paper ?? null;
          const basis = first!.row.paper;
          return {
            label: row.label,
            id: e.id,
            values,
            mean: mean(values),
            deviation: deviation(values),
            gain: e === first!.e ? null : gainOf(runs, row.answer, first!.runs),
            trainTop1: mean(runs.map((r) => 100 * r.trainTop1)),
            paper,
            paperGain: e === first!.e || paper === null || basis === undefined ? null : paper - basis,
          };
        }),
      ];
    }),
  ) as unknown as Record<Table, readonly Line[]>;
  const deit = outcomes.get("teacher/deit")?.[0];
  return { scale, teacherTop1: { cnn, deit: deit ? 100 * deit.top1.model : null }, tables, outcomes: [...outcomes.values()].flat() };
}

/** The same seed is the same order of images and the same draws, so runs are compared in pairs. */
function gainOf(runs: readonly Outcome[], answer: Answer, basis: readonly Outcome[]): Line["gain"] {
  const differences = runs.flatMap((r) => {
    const other = basis.find((b) => b.seed === r.seed);
    return other ? [100 * (r.top1[answer]! - other.top1.model)] : [];
  });
  if (differences.length === 0) return null;
  const spread = deviation(differences);
  return { mean: mean(differences), error: spread === null ? null : spread / Math.sqrt(differences.length), seeds: differences.length };
}

export const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/** Of a sample; `null` for fewer than two values. */
export function deviation(values: readonly number[]): number | null {
  if (values.length < 2) return null;
  const m = mean(values);
  return Math.sqrt(values.reduce((sum, v) => sum + (v - m) ** 2, 0) / (values.length - 1));
}

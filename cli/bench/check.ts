/** `bench --check` and `--write-baseline`: several rounds of the chosen cases, held to an earlier result of the same kind of adapter. */
import { existsSync } from "node:fs";
import { basename } from "node:path";
import { compare, pool, type Comparison, type Results } from "../../bench/compare.ts";
import type { BenchResult } from "../../bench/session.ts";
import { resultFile } from "../../bench/result-file.ts";
import { refusing, UsageError } from "../../jobs/errors.ts";
import { readJson } from "../model-options.ts";
import { nodeHost } from "../node/host.ts";
import { note, print } from "../output.ts";
import { shipped } from "../place.ts";
import { runJob, writeJson } from "../run-job.ts";
import { prepare, wholeOf, type BenchOptions } from "./prepare.ts";
import { benchTable, comparisonTable } from "./table.ts";

type Report = BenchResult & Pick<Results, "where">;

/** Rounds over all chosen cases; the median round counts. */
const ROUNDS = 3;

export async function benchCheck({ check, writeBaseline, json, ...options }: BenchOptions): Promise<void> {
  const where = options.where ?? "node";
  const bench = await prepare(options, where);
  const measure = async (names?: readonly string[]): Promise<Report> => {
    const rounds: BenchResult[] = [];
    for (let i = 0; i < ROUNDS; i++) rounds.push(await runJob<BenchResult>("bench", { ...bench, names }, { ...options, where }));
    rounds.forEach(wholeOf);
    const last = rounds.at(-1)!;
    return { where, ...last, cases: last.cases.map((c) => pool(rounds.map((r) => r.cases.find((other) => other.name === c.name)!))) };
  };
  const after = await measure();
  const file = typeof check === "string" ? check : baselineFile(after);
  if (writeBaseline) {
    await writeJson(nodeHost(), file, after);
    print(`${benchTable(after)}\nwritten: ${file}\n`);
    return;
  }
  const verdict = await judge(readBaseline(file), after, measure);
  if (json) await writeJson(nodeHost(), json, { ...after, comparison: verdict });
  print(`${benchTable(after)}\n\ncompared with ${basename(file)}:\n${comparisonTable(verdict)}\n`);
  if (verdict.regressions.length > 0) throw new Error(`expected no case slower than before, got ${verdict.regressions.join("; ")}`);
}

/** A case that looks slower is measured and judged once more; it fails only if it is slower both times. */
async function judge(before: Results, after: Report, measure: (names: readonly string[]) => Promise<Report>): Promise<Comparison> {
  const first = compare(before, after);
  const doubtful = [
    ...new Set([...first.changes.filter((c) => c.verdict === "slower").map((c) => c.name), ...first.lost.map((l) => l.split(":")[0]!)]),
  ];
  if (doubtful.length === 0) return first;
  note(`looks slower, measured again: ${doubtful.join(", ")}`);
  const again = compare(before, await measure(doubtful));
  const second = new Map(again.changes.map((c) => [`${c.name} ${c.rival}`, c]));
  return {
    ...first,
    changes: first.changes.map((c) => second.get(`${c.name} ${c.rival}`) ?? c),
    lost: again.lost,
    regressions: again.regressions,
  };
}

const baselineFile = ({ adapter, where }: Report): string =>
  shipped(`bench/results/check-${adapter.vendor || "unnamed"}-${adapter.architecture || "adapter"}-${where}.json`);

function readBaseline(file: string): Results {
  if (!existsSync(file)) throw new UsageError(`expected an earlier result at ${file}, got none: bench --quick --write-baseline makes one`);
  const content = readJson(file);
  return refusing(() => resultFile(content, file));
}

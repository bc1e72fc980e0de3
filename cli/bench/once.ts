/** `bench`: one measurement of the chosen cases, as a table. */
import type { BenchResult } from "../../bench/session.ts";
import { print } from "../output.ts";
import { runJob } from "../run-job.ts";
import { prepare, wholeOf, type BenchOptions } from "./prepare.ts";
import { benchTable } from "./table.ts";

export async function benchOnce(options: BenchOptions): Promise<void> {
  const where = options.where ?? "node";
  const result = await runJob<BenchResult>("bench", await prepare(options, where), { ...options, where });
  print(`${benchTable(result)}\n`);
  wholeOf(result);
}

/** `tessera report`: one page of one or many results of the benchmark; or one result file out of several. Needs no adapter. */
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import type { Command } from "commander";
import { mergeResults, resultFile, type ResultFile } from "../../bench/result-file.ts";
import { refusing, UsageError } from "../errors.ts";
import { nodeHost } from "../host.ts";
import { writeJson } from "../run-job.ts";

interface Options {
  readonly out?: string;
  readonly merge?: string;
}

export default function (program: Command): void {
  program.command("report")
    .description("results of the benchmark as one page: charts, tables, two compared; it needs no server and no network")
    .argument("<results...>", "files of bench --json")
    .option("--out <file>", "the page (default: bench.html)")
    .option("--merge <file>", "instead write one result of all: suites of one adapter, place and commit, measured one after another; those of --suite size and first may be among them")
    .action(async (paths: readonly string[], { out, merge }: Options) => {
      if (out !== undefined && merge !== undefined) throw new UsageError("expected --out or --merge, got both");
      if (merge !== undefined) {
        const merged = await mergeFiles(paths);
        await writeJson(nodeHost(), merge, merged);
        process.stdout.write(`${merge}: ${merged.cases.length} cases of ${paths.length} files\n`);
        return;
      }
      const results = await Promise.all(paths.map(async (path) => {
        const content = await json(path);
        return { name: basename(path), result: refusing(() => resultFile(content, path)) };
      }));
      const { writeBenchReport } = await import("../bench-report-file.ts");
      process.stdout.write(`${await writeBenchReport(out ?? "bench.html", results)}\n`);
    });
}

/** The suites' files merged; what `--suite size` and `--suite first` wrote goes with them. */
async function mergeFiles(paths: readonly string[]): Promise<ResultFile> {
  const contents = await Promise.all(paths.map(async (path) => ({ path, content: await json(path) })));
  const beside = contents.filter(({ content }) => content && typeof content === "object" && !("cases" in content) && ("bundle" in content || "first" in content));
  const results = contents.filter((c) => !beside.includes(c)).map(({ path, content }) => refusing(() => resultFile(content, path)));
  if (results.length === 0) throw new UsageError("expected at least one file with cases, got none");
  const { where, commit } = results[0]!;
  return refusing(() => mergeResults([...results, ...beside.map(({ path, content }) => {
    const own = content as Partial<ResultFile>;
    if ((own.where ?? where) !== where || (own.commit ?? commit) !== commit) throw new Error(`${path}: expected a result in ${where}, commit ${commit}, got ${own.where}, ${own.commit}`);
    return { ...results[0]!, cases: [], seconds: 0, ...(own.bundle ? { bundle: own.bundle } : {}), ...(own.first ? { first: own.first } : {}) };
  })]));
}

async function json(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, "utf8"));
  } catch (error) {
    throw new UsageError(`expected a file of JSON at "${path}", got ${(error as NodeJS.ErrnoException).code ?? (error as Error).message}`);
  }
}

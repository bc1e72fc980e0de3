/** `tessera report`: one page of one or many results of the benchmark; or one result file out of several. Needs no adapter. */
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import type { Command } from "commander";
import { mergeResults, readResults } from "../../bench/result-file.ts";
import { refusing, UsageError } from "../../jobs/errors.ts";
import { nodeHost } from "../node/host.ts";
import { writeJson } from "../run-job.ts";
import { print } from "../output.ts";

interface Options {
  readonly out?: string;
  readonly merge?: string;
}

export default function (program: Command): void {
  program
    .command("report")
    .description("write benchmark results as one HTML page with charts, tables and a comparison of two; it needs no server and no network")
    .argument(
      "<results...>",
      "files of bench --json; results of --suite size and first are added to the result of their commit and adapter",
    )
    .option("--out <file>", "page to write (default: bench.html)")
    .option("--merge <file>", "write this JSON file instead of a page: all results in one; they must be of one adapter, place and commit")
    .action(async (paths: readonly string[], { out, merge }: Options) => {
      if (out !== undefined && merge !== undefined) throw new UsageError("expected --out or --merge, got both");
      const files = await Promise.all(paths.map(async (path) => ({ name: basename(path), content: await json(path) })));
      const results = refusing(() => readResults(files));
      if (merge !== undefined) {
        const merged = refusing(() => mergeResults(results.map((r) => r.result)));
        await writeJson(nodeHost(), merge, merged);
        print(`${merge}: ${merged.cases.length} cases of ${paths.length} files\n`);
        return;
      }
      const { writeBenchReport } = await import("../bench/report-file.ts");
      print(`${await writeBenchReport(out ?? "bench.html", results)}\n`);
    });
}

async function json(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, "utf8"));
  } catch (error) {
    throw new UsageError(`expected a file of JSON at "${path}", got ${(error as NodeJS.ErrnoException).code ?? (error as Error).message}`);
  }
}

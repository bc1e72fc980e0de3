/** `tessera experiments`: the paper's tables at a stated small scale, a few seeds each, as one table and page. */
import { existsSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { Option, type Command } from "commander";
import { SCALES, TABLES, experiments, type Scale, type Table } from "../../train/experiments/suite.ts";
import { UsageError } from "../../jobs/errors.ts";
import { targetData } from "../experiments/data.ts";
import { markdown } from "../experiments/markdown.ts";
import { page } from "../experiments/page.ts";
import { runAll } from "../experiments/run.ts";
import { collect } from "../experiments/tables.ts";
import { judgeTeacher } from "../experiments/teacher.ts";
import { writeAtomic } from "../node/files.ts";
import type { CommonOptions } from "../run-job.ts";
import { print } from "../output.ts";

interface Options extends CommonOptions {
  readonly scale: Scale["name"];
  readonly seeds: string;
  readonly tables: string;
  readonly jobs?: string;
  readonly out: string;
  readonly report?: boolean;
}

export default function (program: Command): void {
  program
    .command("experiments")
    .description(
      "the paper's tables of distillation, ablation and transfer at a small scale, and the largest runs that fit; resumes a stopped run; writes results.json, RESULTS.md and a page",
    )
    .addOption(
      new Option("--scale <name>", "size of the runs; small: for a software adapter; full: for a GPU")
        .choices(Object.keys(SCALES))
        .default("small"),
    )
    .option("--seeds <list>", "seeds of every run: integers of 0 or more, separated by commas", "0,1,2")
    .option("--tables <list>", `tables to run, separated by commas: ${TABLES.join(", ")}`, TABLES.join())
    .option("--jobs <n>", "trainings at a time, 1 or more (default: scale small one per core, full one)")
    .option("--out <folder>", "folder for runs and results; finished runs in it are kept", "runs/experiments")
    .option("--report", "run nothing; write the tables and the page of the finished runs")
    .action(async (options: Options) => {
      const seeds = list(options.seeds).map((text) => whole("--seeds", text, 0));
      const tables = list(options.tables);
      const wrong = tables.find((name) => !TABLES.includes(name as Table));
      if (wrong !== undefined) throw new UsageError(`expected tables of ${TABLES.join(", ")}, got "${wrong}"`);
      const scale = SCALES[options.scale];
      const chosen = needed(experiments(scale), tables);
      const out = resolve(options.out, scale.name);
      if (!options.report) {
        const jobs = options.jobs === undefined ? (scale.name === "full" ? 1 : availableParallelism()) : whole("--jobs", options.jobs, 1);
        await judgeTeacher(scale, out);
        await runAll(chosen, {
          seeds,
          jobs,
          out,
          scale,
          target: await targetData(resolve(options.out)),
          adapter: options.adapter,
          where: options.where,
        });
      }
      const results = collect(experiments(scale), scale, out);
      const write = (name: string, text: string) => writeAtomic(resolve(out, name), new TextEncoder().encode(text));
      await write("results.json", `${JSON.stringify(results, null, 1)}\n`);
      await write("RESULTS.md", markdown(results));
      await write("results.html", page(results));
      if (options.json && existsSync(resolve(out, "results.json")))
        await writeAtomic(resolve(options.json), readFileSync(resolve(out, "results.json")));
      print(`${markdown(results)}\npage: ${pathToFileURL(resolve(out, "results.html")).href}\n`);
    });
}

const list = (text: string): string[] =>
  text
    .split(",")
    .map((part) => part.trim())
    .filter(Boolean);

function whole(option: string, text: string, least: number): number {
  const n = Number(text);
  if (!Number.isInteger(n) || n < least) throw new UsageError(`expected integers from ${least} for ${option}, got "${text}"`);
  return n;
}

/** The experiments of some tables, and what they begin with or are taught by. */
function needed(all: ReturnType<typeof experiments>, tables: readonly string[]): ReturnType<typeof experiments> {
  const chosen = all.filter((e) => tables.includes(e.table));
  const deit = chosen.some((e) => e.teacher === "deit" || e.from === "teacher/deit");
  return all.filter((e) => chosen.includes(e) || (deit && e.id === "teacher/deit"));
}

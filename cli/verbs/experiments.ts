/** `tessera experiments`: the paper's tables, each in a regime where its question has an answer, as tables, curves and verdicts. */
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { Option, type Command } from "commander";
import { TABLES, type SetName, type TableName } from "../../train/experiments/experiment.ts";
import { SCALES, type Scale } from "../../train/experiments/scales.ts";
import { runsOf } from "../../train/experiments/suite.ts";
import { UsageError } from "../../jobs/errors.ts";
import { StoppedError } from "../../jobs/stop.ts";
import { Commands } from "../experiments/command.ts";
import { makeSets } from "../experiments/data.ts";
import { markdown } from "../experiments/markdown.ts";
import { runOne } from "../experiments/one-run.ts";
import { page } from "../experiments/page.ts";
import { Place } from "../experiments/place.ts";
import { exportSettings } from "../experiments/pytorch.ts";
import { left, runAll, tasksOf, type Task } from "../experiments/queue.ts";
import { collect } from "../experiments/tables.ts";
import { judgeTeacher } from "../experiments/teacher.ts";
import { SHIPPED_TEACHER } from "../model-options.ts";
import { writeAtomic } from "../node/files.ts";
import { onStopSignal } from "../node/host.ts";
import type { CommonOptions } from "../run-job.ts";
import { note, print } from "../output.ts";

interface Options extends CommonOptions {
  readonly scale: Scale["name"];
  readonly seeds: string;
  readonly tables: string;
  readonly jobs?: string;
  readonly out: string;
  readonly teacher?: string;
  readonly deit?: string;
  readonly report?: boolean;
}

export default function (program: Command): void {
  program
    .command("experiments")
    .description(
      "the paper's tables of distillation, ablation and transfer at a small scale, in regimes that are shown; resumes a stopped run; writes results.json, RESULTS.md and a page",
    )
    .addOption(
      new Option(
        "--scale <name>",
        "size of the runs; small: for a software adapter; full: for a GPU; rehearsal: a few updates of each run of small",
      )
        .choices(Object.keys(SCALES))
        .default("small"),
    )
    .option("--seeds <list>", "seeds of every run: integers of 0 or more, separated by commas", "0,1,2,3,4")
    .option("--tables <list>", `tables to run, one after the other, separated by commas: ${TABLES.join(", ")}`, TABLES.join())
    .option("--jobs <n>", "trainings at a time, 1 or more (default: scale small one per core, full one)")
    .option("--out <folder>", "folder for sets, runs and results; finished runs in it are kept", "runs/experiments")
    .option("--teacher <file>", "weights of the CNN that teaches (default: the one that ships)")
    .option(
      "--deit <file>",
      "weights of a DeiT trained on all of CIFAR-10: the stronger DeiT teacher, and where transfer begins (default: the best of its own)",
    )
    .option("--report", "run nothing; write the tables and the page of the finished runs, and what is left")
    .action(async (options: Options) => {
      const seeds = list(options.seeds).map((text) => whole("--seeds", text, 0));
      const tables = list(options.tables).map((name) => {
        if (!TABLES.includes(name as TableName)) throw new UsageError(`expected tables of ${TABLES.join(", ")}, got "${name}"`);
        return name as TableName;
      });
      for (const [option, path] of Object.entries({ "--teacher": options.teacher, "--deit": options.deit }))
        if (path !== undefined && !existsSync(path)) throw new UsageError(`expected weights at "${path}" for ${option}, got no file`);
      const scale = SCALES[options.scale];
      const jobs =
        options.jobs === undefined ? (scale.jobs === "cores" ? availableParallelism() : scale.jobs) : whole("--jobs", options.jobs, 1);
      const root = resolve(options.out);
      const place = new Place(scale, root, {
        cnn: resolve(options.teacher ?? SHIPPED_TEACHER),
        deit: options.deit === undefined ? null : resolve(options.deit),
      });
      const runs = runsOf(scale, tables, { deit: place.deit !== null });
      await makeSets(root, [scale.judged, ...runs.flatMap((run): SetName[] => [run.data, run.judged ?? run.data])]);
      const tasks = tables.flatMap((table) => tasksOf(runsOf(scale, [table], { deit: place.deit !== null }), seeds));
      const unique = [...new Map(tasks.map((task) => [`${task.run.id} ${task.seed}`, task])).values()];
      if (options.report) note(`experiments: ${standing(unique, jobs, place)}`);
      try {
        if (!options.report) await run(unique, jobs, place, options);
      } finally {
        await exportSettings(place, seeds);
        await writeResults(place, options.json);
      }
    });
}

/** Signals that follow each other within this time are one stop. */
const SAME_STOP_MS = 1000;

/** Runs all that is left, until a stop. */
async function run(tasks: readonly Task[], jobs: number, place: Place, options: Options): Promise<void> {
  const commands = new Commands(jobs);
  let askedMs = -Infinity;
  const release = onStopSignal((code) => {
    // npm and timeout pass on a signal that this process has had too.
    const again = Date.now() - askedMs < SAME_STOP_MS;
    askedMs = Date.now();
    if (again) return;
    note(commands.stopping ? "ending the trainings at once" : "stopping: trainings save first; again ends them at once");
    commands.stop();
    process.exitCode = code;
  });
  try {
    await judgeTeacher(place, options, commands);
    const remaining = await runAll(tasks, {
      ...{ place, jobs, commands },
      work: ({ run, seed }) => runOne(run, seed, place.identity(run, seed)!, place, options, commands),
    });
    if (remaining.length > 0) note(`experiments: stopped; ${standing(tasks, jobs, place)}; the same command goes on`);
  } catch (error) {
    if (!(error instanceof StoppedError)) throw error;
    note(`experiments: stopped; ${standing(tasks, jobs, place)}; the same command goes on`);
  } finally {
    release();
  }
}

function standing(tasks: readonly Task[], jobs: number, place: Place): string {
  const kept = tasks.map(({ run, seed }) => place.outcome(run, seed));
  return left(
    tasks.filter((_, i) => kept[i] === null),
    kept.filter((outcome) => outcome !== null),
    jobs,
    place,
  );
}

async function writeResults(place: Place, json: string | undefined): Promise<void> {
  const results = collect(place);
  const write = (path: string, text: string) => writeAtomic(path, new TextEncoder().encode(text));
  const data = `${JSON.stringify(results, null, 1)}\n`;
  await write(resolve(place.out, "results.json"), data);
  await write(resolve(place.out, "RESULTS.md"), markdown(results));
  await write(resolve(place.out, "results.html"), page(results));
  if (json !== undefined) await write(resolve(json), data);
  print(`${markdown(results)}\npage: ${pathToFileURL(resolve(place.out, "results.html")).href}\n`);
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

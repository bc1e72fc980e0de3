/** `tessera demo`: a whole distillation on shipped images and teacher, and a report. */
import { resolve } from "node:path";
import type { Command } from "commander";
import type { ReportData } from "../../jobs/report-data.ts";
import type { Comparison } from "../../jobs/demo/answers.ts";
import { UsageError } from "../../jobs/errors.ts";
import { nodeHost } from "../node/host.ts";
import type { DemoArgs } from "../../jobs/demo.ts";
import { SHIPPED_TEACHER } from "../model-options.ts";
import { fetchSubset } from "../node/data/cifar10-subset.ts";
import { IN_REPOSITORY } from "../place.ts";
import { commit, writeReport } from "../report-file.ts";
import { withRunFolder } from "../node/run-folder.ts";
import { runJob, type CommonOptions } from "../run-job.ts";
import { note, print } from "../output.ts";

interface Options extends CommonOptions {
  readonly out: string;
  readonly budget?: string;
}

export default function (program: Command): void {
  program
    .command("demo")
    .description(
      "distil a DeiT student from the shipped CNN teacher on the shipped images, beside the same student without a teacher; writes a report",
    )
    .option("--out <folder>", "folder for report, checkpoints and weights", "runs/demo")
    .option("--budget <seconds>", "seconds for both trainings together, above 0 (default: 400 on a software adapter, 40 on a GPU)")
    .action(async (options: Options) => {
      const budgetSeconds = options.budget === undefined ? undefined : Number(options.budget);
      if (budgetSeconds !== undefined && !(budgetSeconds > 0))
        throw new UsageError(`expected a positive number of seconds for --budget, got "${options.budget}"`);
      const host = nodeHost();
      const args: DemoArgs = {
        data: await fetchSubset(note),
        teacher: SHIPPED_TEACHER,
        teacherNote: "all 50,000 training images of CIFAR-10, by this engine (app/data/teacher/README.md)",
        out: options.out,
        seed: options.seed ?? 0,
        budgetSeconds,
        command: IN_REPOSITORY ? "npm install && npm run demo" : "npx tessera demo",
        commit: commit(),
        where: options.where === "chromium" ? "Chromium" : "Node",
        date: new Date().toISOString().slice(0, 10),
      };
      const inFolders = <T>(body: () => Promise<T>) =>
        withRunFolder(resolve(options.out, "distilled"), () => withRunFolder(resolve(options.out, "plain"), body));
      const data = await inFolders(() => runJob<ReportData>("demo", args, options, host));
      const url = await writeReport(resolve(options.out, "report.html"), data);
      print(summary(data));
      print(`report: ${url}\nweights: ${resolve(options.out, "distilled/model.safetensors")}\n`);
    });
}

/** The demo's result as a table. */
function summary({ runs, teacher, adapter, student, seconds, comparison }: ReportData): string {
  const percent = (v: number | undefined) => (v === undefined ? "–" : `${(100 * v).toFixed(1)} %`);
  const rows = runs.map((run) => {
    const last = run.epochs.at(-1)!;
    const { model, cls, dist } = last.test;
    return [
      run.title,
      percent(last.trainTop1),
      percent(cls?.top1 ?? model.top1),
      percent(dist?.top1),
      percent(cls ? model.top1 : undefined),
      run.imagesPerSecond.toFixed(0),
      run.seconds.toFixed(0),
    ];
  });
  const table = [["student", "train top-1", "test: class head", "distillation head", "mean of both", "images/s", "seconds"], ...rows];
  const widths = table[0]!.map((_, i) => Math.max(...table.map((row) => row[i]!.length)));
  const lines = table.map((row) => row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join("  "));
  return [
    `adapter: ${adapter.name}${adapter.software ? " (software)" : ""}, in ${adapter.where}`,
    `student: ${student.name}, ${(student.params / 1e6).toFixed(2)} M parameters; teacher: ${teacher?.name ?? "none"}, test top-1 ${percent(teacher?.top1 ?? undefined)}`,
    ...lines,
    ...(comparison ? [verdict(comparison)] : []),
    `in ${seconds.toFixed(0)} s`,
    "",
  ].join("\n");
}

/** Below this the two students are told apart. */
const CLEAR = 0.01;

/** What the test images say of the two students, as a sentence. */
function verdict({ groups: { distilled, plain }, p }: Comparison): string {
  const finding = p >= CLEAR ? "not told apart" : distilled.images > plain.images ? "the teacher helped" : "the teacher did harm";
  const chance = p < 1e-4 ? p.toExponential(0) : p.toPrecision(2);
  return `${finding}: only the distilled student gets ${distilled.images} of the test images right, only the other one ${plain.images} (McNemar's exact test, p = ${chance})`;
}

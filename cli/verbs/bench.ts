/** `tessera bench`: a table of our times beside others', measured side by side. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { InvalidArgumentError, Option, type Command } from "commander";
import type { RivalName } from "../../bench/rivals.ts";
import type { Failure, Measured, Timing } from "../../bench/run.ts";
import type { BenchArgs, BenchResult } from "../jobs/bench.ts";
import { runJob, type CommonOptions } from "../run-job.ts";

const RIVALS: readonly RivalName[] = ["tfjs"];

interface Options extends CommonOptions {
  readonly suite: BenchArgs["suite"];
  readonly against: readonly RivalName[];
  readonly cases: string;
  readonly samples?: number;
}

export default function (program: Command): void {
  program.command("bench")
    .description("time kernels, inference and training beside other libraries, on the same adapter and taking turns")
    .addOption(new Option("--suite <name>", "what to measure").choices(["kernels", "inference", "train", "all"]).default("all"))
    .addOption(new Option("--against <names>", "rivals, separated by commas; \"none\" for ours alone").argParser(rivals).default(["tfjs"], "tfjs"))
    .option("--cases <text>", "only cases whose name contains this", "")
    .option("--samples <n>", "samples of each contender in a case", positive)
    .action(async (options: Options) => {
      const where = options.where ?? "node";
      const { bundleRival, provideNavigator } = await import("../../bench/rivals.ts");
      const against: Record<string, string> = {};
      for (const name of options.against) against[name] = await bundleRival(name, where);
      if (where === "node" && options.against.length > 0) provideNavigator();
      const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { version: string };
      const args: BenchArgs = { suite: options.suite, against, only: options.cases, samples: options.samples, version, commit: await commit() };
      const { cases } = await runJob<BenchResult>("bench", args, { ...options, where });
      process.stdout.write(`${table(cases, options.against)}\n`);
    });
}

function rivals(text: string): RivalName[] {
  if (text === "none") return [];
  return text.split(",").map((name) => {
    const rival = RIVALS.find((known) => known === name.trim());
    if (!rival) throw new InvalidArgumentError(`expected ${RIVALS.join(", ")} or none`);
    return rival;
  });
}

function positive(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError("expected a positive integer");
  return value;
}

/** What is measured, as far as git knows. */
async function commit(): Promise<string> {
  const git = async (...args: string[]) => (await promisify(execFile)("git", args, { cwd: fileURLToPath(new URL("../..", import.meta.url)) })).stdout.trim();
  try {
    return `${await git("rev-parse", "--short=12", "HEAD")}${(await git("status", "--porcelain", "--", "engine", "kernels", "models", "train", "bench")) ? "-dirty" : ""}`;
  } catch {
    return "unknown";
  }
}

function table(cases: readonly Measured[], names: readonly string[]): string {
  const header = ["case", "ours ms", ...names.flatMap((name) => [`${name} ms`, "ratio", "(range)"]), "GFLOP/s", "GB/s", "samples", "difference"];
  const rows = cases.map((c) => [
    c.name, ms(c.ours),
    ...names.flatMap((name) => [ms(c.rivals[name]!), c.ratio[name]?.toFixed(2) ?? "-", c.ratioRange[name]?.map((r) => r.toFixed(2)).join("-") ?? ""]),
    c.gflops?.toPrecision(3) ?? "", c.gbps?.toPrecision(3) ?? "", "error" in c.ours ? "" : String(c.ours.runs), c.difference?.toExponential(1) ?? "",
  ]);
  const widths = header.map((_, i) => Math.max(...[header, ...rows].map((row) => row[i]!.length)));
  const line = (row: readonly string[]) => row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join("  ").trimEnd();
  const failures = cases.flatMap((c) => Object.entries({ ours: c.ours, ...c.rivals }).flatMap(([who, t]) => ("error" in t ? [`${c.name}: ${who}: ${t.error}`] : [])));
  return [line(header), ...rows.map(line), ...failures].join("\n");
}

const ms = (t: Timing | Failure): string => ("error" in t ? "failed" : t.medianMs.toPrecision(3));

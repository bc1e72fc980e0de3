/** `tessera bench`: a table of our times beside others', measured side by side. */
import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import { InvalidArgumentError, Option, type Command } from "commander";
import { compare, pool, type Comparison, type Results } from "../../bench/compare.ts";
import type { RivalName } from "../../bench/rivals.ts";
import { benchTable, comparisonTable } from "../bench/table.ts";
import { UsageError } from "../../jobs/errors.ts";
import { defaultCacheDir } from "../node/data/cifar10.ts";
import { nodeHost } from "../node/host.ts";
import type { BenchArgs, BenchResult } from "../../bench/session.ts";
import { integer } from "../options.ts";
import { IN_REPOSITORY, ROOT, shipped, VERSION } from "../place.ts";
import { runJob, writeJson, type CommonOptions } from "../run-job.ts";

interface Options extends CommonOptions {
  readonly suite: BenchArgs["suite"] | "first" | "size";
  readonly against: string;
  readonly quick: boolean;
  readonly large?: boolean;
  readonly cases: string;
  readonly samples?: number;
  readonly alone?: boolean;
  readonly check?: boolean | string;
  readonly writeBaseline?: boolean;
  readonly page?: boolean | string;
  readonly port?: number;
}

type Report = BenchResult & Pick<Results, "where">;

/** Measurements of a whole choice that a check takes the middle of, and again of what looks slower. */
const SITTINGS = 3;

export default function (program: Command): void {
  program
    .command("bench")
    .description("time kernels, inference and training beside other libraries, on the same adapter and taking turns")
    .addOption(
      new Option(
        "--suite <name>",
        "what to measure; first: from nothing to the first result, each in a fresh process or page; size: of bundles",
      )
        .choices(["kernels", "inference", "train", "scaling", "first", "size", "all"])
        .default("all"),
    )
    .option(
      "--against <names>",
      'rivals, separated by commas: tfjs, tfjs-webgl, tfjs-wasm, ort, ort-wasm, ort-cpu, jax, torch; "all" that run there, "none" for ours alone',
      "tfjs",
    )
    .option("--quick", "a few small cases, in less than three minutes", false)
    .option("--large", "also what takes minutes on a software adapter: DeiT-S and DeiT-B, larger batches", false)
    .option("--cases <text>", "only cases whose name contains this", "")
    .option("--samples <n>", "samples of each contender in a case", positive)
    .option("--check [file]", "compare with an earlier result, by default bench/results' own for this adapter; exit 1 if a case got slower")
    .option("--write-baseline", "measure as --check does and keep that as bench/results' own for this adapter")
    .option(
      "--page [folder]",
      "build the page that measures in one's own browser, with the rivals of --against (default: all), and serve it here; with a folder: build it there, for any web server",
    )
    .option("--port <n>", "where --page serves (default: any that is free)", integer(1, 65_535))
    .addOption(new Option("--alone", "the first rival in our place, for --suite first").hideHelp())
    .action(async (options: Options, command: Command) => {
      if (options.check !== undefined && options.writeBaseline) throw new UsageError("expected --check or --write-baseline, got both");
      if (options.suite === "first" || options.suite === "size") {
        const { firstRuns } = await import("../bench/first.ts");
        const { bundleSizes } = await import("../../bench/bundle-size.ts");
        const { installRivals } = await import("../../bench/rivals.ts");
        if (options.suite === "size" || options.against !== "none") await installRivals(say);
        const result =
          options.suite === "size"
            ? { suite: "size", commit: await commit(), date: new Date().toISOString(), bundle: await bundleSizes() }
            : await firstRuns(options);
        if (options.json) await writeJson(nodeHost(), options.json, result);
        process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
        return;
      }
      if (options.page !== undefined) return page(options, command.getOptionValueSource("against") === "default" ? "all" : options.against);
      const where = options.where ?? "node";
      const bench = await prepare(options, where);
      const { check, writeBaseline, json, ...common } = options;
      if (check === undefined && !writeBaseline) {
        const result = await runJob<BenchResult>("bench", bench, { ...options, where });
        process.stdout.write(`${benchTable(result)}\n`);
        return wholeOf(result);
      }
      const measure = async (names?: readonly string[]): Promise<Report> => {
        const sittings: BenchResult[] = [];
        for (let i = 0; i < SITTINGS; i++) sittings.push(await runJob<BenchResult>("bench", { ...bench, names }, { ...common, where }));
        sittings.forEach(wholeOf);
        const last = sittings.at(-1)!;
        return { where, ...last, cases: last.cases.map((c) => pool(sittings.map((s) => s.cases.find((other) => other.name === c.name)!))) };
      };
      const after = await measure();
      const file = typeof check === "string" ? check : baselineFile(after);
      if (writeBaseline) {
        await writeJson(nodeHost(), file, after);
        process.stdout.write(`${benchTable(after)}\nwritten: ${file}\n`);
        return;
      }
      const verdict = await judge(readBaseline(file), after, measure);
      if (json) await writeJson(nodeHost(), json, { ...after, comparison: verdict });
      process.stdout.write(`${benchTable(after)}\n\ncompared with ${basename(file)}:\n${comparisonTable(verdict)}\n`);
      if (verdict.regressions.length > 0) throw new Error(`expected no case slower than before, got ${verdict.regressions.join("; ")}`);
    });
}

/** Rivals that are asked for there, their libraries installed. */
async function rivalsOf(against: string, where: "node" | "chromium"): Promise<readonly RivalName[]> {
  const { installRivals, rivalNames, rivalsIn } = await import("../../bench/rivals.ts");
  const asked = against.split(",").map((name) => name.trim());
  const unknown = asked.find((name) => name !== "all" && name !== "none" && !rivalNames.includes(name as RivalName));
  if (unknown !== undefined) throw new UsageError(`expected --against ${rivalNames.join(", ")}, all or none, got ${unknown}`);
  const names = against === "none" ? [] : asked.includes("all") ? rivalsIn(where) : (asked as RivalName[]);
  if (names.length > 0) await installRivals(say);
  return names;
}

/** Needs no adapter here: whoever opens the page brings one. */
async function page({ page: folder, port }: Options, against: string): Promise<void> {
  const { buildBenchPage, serveBenchPage } = await import("../bench/page.ts");
  const names = await rivalsOf(against, "chromium");
  const into = typeof folder === "string" ? folder : IN_REPOSITORY ? shipped("build/bench-page") : join(defaultCacheDir(), "bench-page");
  await buildBenchPage(into, names, { version: VERSION, commit: await commit() });
  if (typeof folder === "string")
    return void process.stdout.write(
      `${folder}: the page and ${names.join(", ") || "no rivals"}; any web server can host it, with the headers Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp its clock is finer\n`,
    );
  const { url } = await serveBenchPage(into, port);
  process.stdout.write(`${url}\n`);
  say("open it in any browser on this machine; Ctrl-C ends");
  await new Promise(() => undefined);
}

async function prepare(options: Options, where: "node" | "chromium"): Promise<BenchArgs> {
  const { bundleRival, provideNavigator, rivalsBase } = await import("../../bench/rivals.ts");
  const names = await rivalsOf(options.against, where);
  const against: Record<string, string> = {};
  for (const name of names) against[name] = await bundleRival(name, where);
  if (where === "node" && names.length > 0) provideNavigator();
  return {
    suite: options.suite as BenchArgs["suite"],
    quick: options.quick,
    large: options.large,
    against,
    base: rivalsBase(where),
    only: options.cases,
    samples: options.samples,
    alone: options.alone,
    version: VERSION,
    commit: await commit(),
  };
}

/** What was measured is kept, but a part is no success. */
function wholeOf({ cases, notRun = [], stopped }: BenchResult): void {
  if (notRun.length > 0) throw new Error(`expected every case to run, got ${cases.length} of ${cases.length + notRun.length}: ${stopped}`);
}

const say = (message: string): void => void process.stderr.write(`${message}\n`);

/** What looks slower is measured anew and judged once more: only what stays slower is. */
async function judge(before: Results, after: Report, measure: (names: readonly string[]) => Promise<Report>): Promise<Comparison> {
  const first = compare(before, after);
  const suspects = [
    ...new Set([...first.changes.filter((c) => c.verdict === "slower").map((c) => c.name), ...first.lost.map((l) => l.split(":")[0]!)]),
  ];
  if (suspects.length === 0) return first;
  process.stderr.write(`looks slower, measured again: ${suspects.join(", ")}\n`);
  const again = compare(before, await measure(suspects));
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
  return JSON.parse(readFileSync(file, "utf8")) as Results;
}

function positive(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError("expected a positive integer");
  return value;
}

/** What is measured: the commit as far as git knows, or the package's version. */
async function commit(): Promise<string> {
  if (!IN_REPOSITORY) return `v${VERSION}`;
  const git = async (...args: string[]) => (await promisify(execFile)("git", args, { cwd: ROOT })).stdout.trim();
  try {
    return `${await git("rev-parse", "--short=12", "HEAD")}${(await git("status", "--porcelain", "--", "engine", "kernels", "models", "train", "bench")) ? "-dirty" : ""}`;
  } catch {
    return "unknown";
  }
}

/**
 * The command line: `tessera VERB …`.
 *
 * To add a verb, write two files and edit none:
 *
 *   jobs/VERB.ts        the work, free of Node: `export default async function (host: Host, args: Args): Promise<Result>`.
 *                       It has a device (`getDevice()`), reads and writes through `host`, reports with `host.progress`
 *                       and `host.log`, and returns what can be JSON. Bad input throws `UsageError`.
 *   cli/verbs/VERB.ts   its command: `export default function (program: Command): void` adds
 *                       `program.command("VERB").description(…).option(…).action(async (options) => { … })`, where the
 *                       action turns options into args, awaits `runJob<Result>("VERB", args, options)` and prints the
 *                       result on stdout. Import jobs as types only: every verb is loaded for every command.
 *
 * Every verb also gets `--where`, `--adapter`, `--seed`, `--json`, `--gpu-timeout`, `--races`, `--debug` (`CommonOptions` in cli/run-job.ts),
 * unless it defines one of its own by that name. Verbs print by `print` and `note` of cli/output.ts. `--json` and `--out` are tried for
 * writing before the action: name their values `<file>` or `<folder>`. Throw `UsageError("expected …, got …")` for bad usage or input: exit 2.
 * Anything else thrown is exit 1. Both print `tessera VERB: message` on stderr.
 */
import { readdirSync } from "node:fs";
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { UsageError } from "../jobs/errors.ts";
import { expectWritable } from "./node/files.ts";
import { configureDownloads, stoppedExitCode } from "./node/host.ts";
import { stopProgress } from "./node/progress.ts";
import { number } from "./options.ts";
import { finish, note } from "./output.ts";
import { EXTENSION, VERSION } from "./place.ts";

/** Runs the command line `args` (without node and script); resolves to the exit code. */
export async function main(args: readonly string[]): Promise<number> {
  const program = await build();
  try {
    try {
      await program.parseAsync(args, { from: "user" });
    } finally {
      await finish();
    }
    return Number(process.exitCode ?? 0); // a verb that finished only in part sets one itself
  } catch (error) {
    stopProgress();
    if (error instanceof CommanderError && error.exitCode === 0) return 0; // --help, --version
    const verb = program.commands.find((c) => c.name() === args[0] || c.aliases().includes(args[0] ?? ""));
    const usage = error instanceof UsageError || error instanceof CommanderError;
    const message =
      error instanceof CommanderError ? rephrase(error, program, verb) : error instanceof Error ? error.message : String(error);
    // One line, also of a driver's or shader compiler's long message; --debug shows all of it.
    const debug = args.includes("--debug");
    const text = debug && error instanceof Error && !(error instanceof CommanderError) ? (error.stack ?? message) : message.split("\n")[0]!;
    note(`tessera${verb ? ` ${verb.name()}` : ""}: ${text}`);
    if (error instanceof Error && error.name === "StoppedError") return stoppedExitCode();
    return usage ? 2 : 1;
  }
}

/** The program with a command for every file of cli/verbs. */
export async function build(): Promise<Command> {
  const program = new Command("tessera").description("WebGPU tensor engine, and DeiT on top").version(VERSION);
  // Inherited by the verbs: errors are thrown, and printed by `main` alone.
  program
    .exitOverride()
    .configureOutput({ outputError: () => undefined })
    .allowExcessArguments(false);
  program.action(() => {
    throw new UsageError(`expected a verb (${program.commands.map((c) => c.name()).join(", ")}), got none; see tessera --help`);
  });
  const folder = new URL("./verbs/", import.meta.url);
  for (const file of readdirSync(folder)
    .filter((name) => name.endsWith(EXTENSION))
    .sort()) {
    const { default: add } = (await import(new URL(file, folder).href)) as { default: (program: Command) => void };
    add(program);
  }
  program.commands.forEach(addCommonOptions);
  program.hook("preAction", async (_, command) => {
    const { refresh = false, downloadTimeout } = command.opts<{ refresh?: boolean; downloadTimeout?: number }>();
    configureDownloads({ refresh, timeoutMs: downloadTimeout === undefined ? undefined : 1000 * downloadTimeout });
    await tryOutputs(command);
  });
  return program;
}

function addCommonOptions(command: Command): void {
  const common = [
    new Option("--where <place>", "where the GPU work runs: Dawn in Node, or a headless Chromium page (default: node)").choices([
      "node",
      "chromium",
    ]),
    new Option("--adapter <name>", "adapter to use: swiftshader, lavapipe, or part of an adapter's name (default: a GPU before software)"),
    new Option("--seed <n>", "seed of all random numbers, an integer from 0 to 4294967295 (default: 0)").argParser(seed),
    new Option("--json <file>", "also write the result to this file as JSON"),
    new Option(
      "--gpu-timeout <seconds>",
      "with --where chromium: seconds without an answer from the GPU after which the command fails, 0 or more; 0: no limit (default: 300)",
    ).argParser(number(0)),
    new Option("--races", "time tiles against each other, 50 ms for each shape, on a software adapter and in Chromium too"),
    new Option("--no-races", "never do so (default: on GPUs in Node; what was found is kept for the adapter and its driver)"),
    new Option("--refresh", "download URLs again instead of using the cache"),
    new Option("--download-timeout <s>", "seconds without a byte after which a download is retried, above 0 (default: 30)").argParser(
      seconds,
    ),
    new Option("--debug", "print an error's stack"),
  ];
  for (const option of common) {
    if (!command.options.some((o) => o.long === option.long)) command.addOption(option);
  }
}

/** Checks that the verb's outputs can be written. */
async function tryOutputs(command: Command): Promise<void> {
  for (const option of command.options) {
    const { long, flags } = option;
    const kind = /<(file|folder)>/.exec(flags)?.[1] as "file" | "folder" | undefined;
    const value: unknown = command.getOptionValue(option.attributeName());
    if ((long === "--json" || long === "--out") && kind && typeof value === "string") await expectWritable(long, value, kind);
  }
}

function seconds(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !(value > 0 && value <= 86_400)) throw new InvalidArgumentError("expected seconds from above 0 to 86400");
  return value;
}

function seed(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isInteger(value) || value < 0 || value >= 2 ** 32)
    throw new InvalidArgumentError("expected an integer from 0 to 4294967295");
  return value;
}

/** Commander's errors in this project's form. */
function rephrase(error: CommanderError, program: Command, verb: Command | undefined): string {
  const quoted = /'([^']*)'/.exec(error.message)?.[1] ?? "";
  const help = `see tessera${verb ? ` ${verb.name()}` : ""} --help`;
  switch (error.code) {
    case "commander.unknownOption":
      return `expected a known option, got "${quoted}"; ${help}`;
    case "commander.unknownCommand":
    case "commander.excessArguments":
      if (!verb)
        return `expected a verb (${program.commands.map((c) => c.name()).join(", ")}), got "${program.args[0] ?? quoted}"; ${help}`;
      return `expected ${verb.registeredArguments.length} arguments, got ${verb.args.length}; ${help}`;
    case "commander.missingArgument":
      return `expected <${quoted}>, got none; ${help}`;
    case "commander.missingMandatoryOptionValue":
      return `expected ${quoted}, got none; ${help}`;
    case "commander.optionMissingArgument":
      return `expected a value for ${quoted}, got none; ${help}`;
    case "commander.invalidArgument": {
      // error: option '--where <place>' argument 'x' is invalid. Allowed choices are node, chromium.
      const [, what, got, why] = /(?:option|argument) '([^']*)' argument '([^']*)' is invalid\. ?(.*)/s.exec(error.message) ?? [];
      if (!what) break;
      const expected = (why ?? "").replace(/^Allowed choices are /, "expected one of ").replace(/\.$/, "");
      return `${expected || "expected another value"} for ${what}, got "${got}"`;
    }
  }
  return error.message.replace(/^error: /, "");
}

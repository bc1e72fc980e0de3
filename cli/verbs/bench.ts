/** `tessera bench`: times of this engine and of other libraries, measured side by side. Each mode is a file of cli/bench. */
import { InvalidArgumentError, Option, type Command } from "commander";
import type { BenchOptions } from "../bench/prepare.ts";
import { UsageError } from "../../jobs/errors.ts";
import { integer, refuseOthers } from "../options.ts";

export default function (program: Command): void {
  program
    .command("bench")
    .description("time kernels, inference and training beside other libraries, on the same adapter and taking turns")
    .addOption(
      new Option(
        "--suite <name>",
        "cases to measure; first: time to the first result, in a fresh process or page each; size: bytes of bundles",
      )
        .choices(["kernels", "inference", "train", "scaling", "first", "size", "all"])
        .default("all"),
    )
    .option(
      "--against <names>",
      "other libraries, separated by commas: tfjs, tfjs-webgl, tfjs-wasm, ort, ort-wasm, ort-cpu, jax, torch; all: those that run there; none: measure Tessera alone",
      "tfjs",
    )
    .option("--quick", "a few small cases, in less than three minutes", false)
    .option("--large", "also cases that take minutes on a software adapter: DeiT-S and DeiT-B, larger batches", false)
    .option("--cases <text>", "only cases whose names contain this text", "")
    .option("--samples <n>", "samples of each library in a case, 1 or more (default: by suite and adapter, 7 to 30)", positive)
    .option("--check [file]", "compare with an earlier result (default: this adapter's in bench/results); exit code 1 if a case got slower")
    .option("--write-baseline", "measure as --check does and write the result as this adapter's in bench/results")
    .option(
      "--page [folder]",
      "build the page that measures in a visitor's browser, with the libraries of --against (default: all), and serve it here; with a folder: build it there, for any web server",
    )
    .option("--port <n>", "port of --page, 1 to 65535 (default: any free one)", integer(1, 65_535))
    .addOption(new Option("--alone", "the first rival in our place, for --suite first").hideHelp())
    .action(async (options: BenchOptions, command: Command) => {
      const checked = options.check !== undefined;
      if (checked && options.writeBaseline) throw new UsageError("expected --check or --write-baseline, got both");
      const mode = modeOf(options);
      refuseOthers(command, mode.flag, mode.takes);
      if (options.suite === "first" || options.suite === "size") return (await import("../bench/startup.ts")).benchStartup(options);
      if (options.page !== undefined) {
        const everybody = command.getOptionValueSource("against") === "default";
        return (await import("../bench/serve.ts")).benchPage(options, everybody ? "all" : options.against);
      }
      if (checked || options.writeBaseline) return (await import("../bench/check.ts")).benchCheck(options);
      return (await import("../bench/once.ts")).benchOnce(options);
    });
}

/** Options of measuring, which `--check` and `--write-baseline` have too. */
const MEASURING = ["suite", "against", "alone", "quick", "large", "cases", "samples", "check", "writeBaseline"];

/** What is done, and the options that it has. */
function modeOf({ suite, page }: BenchOptions): { readonly flag: string; readonly takes: readonly string[] } {
  if (suite === "size") return { flag: "--suite size", takes: ["suite"] };
  if (suite === "first") return { flag: "--suite first", takes: ["suite", "against", "alone"] };
  if (page !== undefined) return { flag: "--page", takes: ["page", "port", "against"] };
  return { flag: "a measurement", takes: MEASURING };
}

function positive(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError("expected a positive integer");
  return value;
}

/** `tessera tune`: measures every kernel for the shapes of a model or an operation, and keeps the choice for this adapter. */
import { InvalidArgumentError, type Command } from "commander";
import { DEFAULT } from "../../checks/problem.ts";
import { UsageError } from "../../jobs/errors.ts";
import { nodeHost, stoppedExitCode } from "../node/host.ts";
import type { TuneArgs, TuneResult } from "../../jobs/tune.ts";
import { refuseOthers } from "../options.ts";
import { runJob, type CommonOptions } from "../run-job.ts";
import { saveTuning } from "../node/tuning-cache.ts";
import { print } from "../output.ts";

interface Options extends CommonOptions {
  readonly model?: string;
  readonly batch: number;
  readonly train?: boolean;
  readonly op?: string;
  readonly shape?: string;
  readonly dryRun?: boolean;
}

export default function (program: Command): void {
  program
    .command("tune")
    .description("measure which kernels are fastest on this adapter, and store the choice for later commands")
    .option(
      "--model <names>",
      "models whose shapes to measure, separated by commas (default: distilled DeiT-Ti; on a GPU also S, B and regnety_160)",
    )
    .option("--batch <n>", "images per forward pass, 1 or more", positive, 1)
    .option("--train", "also measure the shapes of a training step's gradients")
    .option("--op <name>", "operation to measure instead of models; see tessera op --list")
    .option("--shape <sizes>", "with --op: its sizes, in the order of tessera op --list, e.g. 197x192x768", sizes)
    .option("--dry-run", "measure and print; store nothing")
    .action(async (options: Options, command: Command) => {
      const { model, batch, train = false, op, shape, dryRun = false } = options;
      if ((op === undefined) !== (shape === undefined))
        throw new UsageError(`expected --op and --shape together, got ${op === undefined ? "--shape" : "--op"} alone`);
      if (op !== undefined) refuseOthers(command, "--op", ["op", "shape", "train", "dryRun"]);
      const args: TuneArgs = {
        models: model?.split(",") ?? [],
        batch,
        training: train,
        op: op === undefined ? undefined : { name: op, sizes: shape! },
      };
      let kept = "";
      const { answers, finished } = await runJob<TuneResult>(
        "tune",
        args,
        options,
        nodeHost(),
        dryRun
          ? undefined
          : async (adapter, result) => {
              kept = `; kept in ${await saveTuning(adapter, (result as TuneResult).answers)}`;
            },
      );
      for (const { question, flops, choice, gain, measured } of answers) {
        const ms = (name: string) => measured.find((m) => m.name === name)?.ms ?? null;
        const speed = flops > 0 && ms(choice) ? `, ${(flops / ms(choice)! / 1e6).toPrecision(3)} GFLOP/s` : "";
        print(`${question}: ${choice} ${ms(choice)} ms${speed}${choice === DEFAULT ? "" : ` (default ${ms(DEFAULT)} ms, ${gain}x)`}\n`);
      }
      const better = answers.filter(({ choice }) => choice !== DEFAULT).length;
      if (!finished) process.exitCode = stoppedExitCode();
      print(`${finished ? "" : "stopped after "}${answers.length} shapes, ${better} with a faster kernel than the default${kept}\n`);
    });
}

function positive(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError("expected a positive integer");
  return value;
}

function sizes(text: string): string {
  if (!/^\d+(x\d+)*$/.test(text) || text.split("x").some((n) => Number(n) < 1))
    throw new InvalidArgumentError("expected positive integers with x between them, e.g. 197x192x768");
  return text;
}

/** `op NAME`: one operation, forward and backward, on tensors from a file. */
import type { Command } from "commander";
import { UsageError } from "../errors.ts";
import { parseDtype } from "../dtype.ts";
import type { OpArgs, OpResult } from "../jobs/op.ts";
import { jsonObject } from "../options.ts";
import { runJob, type CommonOptions } from "../run-job.ts";

interface Options extends CommonOptions {
  readonly in?: string;
  readonly out?: string;
  readonly attrs?: string;
  readonly backward?: boolean;
  readonly variant?: string;
  readonly dtype: string;
  readonly list?: boolean;
}

export default function (program: Command): void {
  program.command("op")
    .description("run one operation on tensors from a safetensors file")
    .argument("[name]", "the operation; see --list")
    .option("--in <file>", "inputs by name, and dy with --backward")
    .option("--out <file>", "outputs by name; with --backward also d<input>")
    .option("--attrs <json>", "attributes, as a JSON object")
    .option("--backward", "also the gradients of sum(y * dy)")
    .option("--variant <name>", "force a kind of kernel; see --list")
    .option("--dtype <name>", "f32, or f16: how tensors are stored; sums are f32 either way", "f32")
    .option("--list", "print every operation with its inputs, attributes, defaults and variants")
    .action(async (name: string | undefined, options: Options) => {
      if (options.list) {
        const { describeOps } = await import("../ops.ts");
        process.stdout.write(`${describeOps()}\n`);
        return;
      }
      const { in: input, out, attrs, backward, variant, dtype } = options;
      if (name === undefined) throw new UsageError("expected the name of an operation, got none; see tessera op --list");
      if (input === undefined || out === undefined) throw new UsageError(`expected ${input === undefined ? "--in" : "--out"} <file>, got none; see tessera op --help`);
      const args: OpArgs = { name, in: input, out, backward, variant, dtype: parseDtype(dtype), attrs: attrs === undefined ? undefined : jsonObject("--attrs", attrs) };
      const { outputs } = await runJob<OpResult>("op", args, options);
      for (const [output, shape] of Object.entries(outputs)) process.stdout.write(`${output} [${shape.join(",")}]\n`);
    });
}

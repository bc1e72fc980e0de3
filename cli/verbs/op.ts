/** `op NAME`: one operation, forward and backward, on tensors from a file. */
import type { Command } from "commander";
import { refusing, UsageError } from "../../jobs/errors.ts";
import type { CheckArgs, CheckResult } from "../../jobs/check-op.ts";
import { parseDtype } from "../../jobs/files/dtype.ts";
import type { OpArgs, OpResult } from "../../jobs/op.ts";
import type { WgslArgs, WgslResult } from "../../jobs/op-wgsl.ts";
import { jsonObject, number, refuseOthers } from "../options.ts";
import { BIN } from "../place.ts";
import { runJob, type CommonOptions } from "../run-job.ts";
import { print } from "../output.ts";

interface Options extends CommonOptions {
  readonly in?: string;
  readonly out?: string;
  readonly attrs?: string;
  readonly backward?: boolean;
  readonly variant?: string;
  readonly dtype: string;
  readonly list?: boolean;
  readonly check?: boolean;
  readonly watch?: boolean;
  readonly printWgsl?: boolean;
  readonly file?: string;
  readonly case?: string;
  readonly time?: boolean;
  readonly step?: boolean;
  readonly dbg?: string;
  readonly atLeast?: number;
  readonly challenges?: boolean;
  readonly challenge?: string;
  readonly shipped?: boolean;
  readonly again?: string;
}

/** What the verb does, by the option that says so, and the options that it then takes. `--watch` repeats one of those below it. */
const MODES = [
  { is: "list", flag: "--list", takes: ["list"] },
  { is: "challenges", flag: "--challenges", takes: ["challenges"] },
  { is: "challenge", flag: "--challenge", takes: ["challenge", "file", "shipped", "atLeast"] },
  { is: "again", flag: "--again", takes: ["again", "atLeast"] },
  {
    is: "watch",
    flag: "--watch",
    takes: ["watch", "check", "printWgsl", "variant", "attrs", "file", "case", "time", "step", "dbg", "atLeast"],
  },
  { is: "file", flag: "--file", takes: ["file", "check", "case", "time", "step", "dbg", "atLeast"] },
  { is: "printWgsl", flag: "--print-wgsl", takes: ["printWgsl", "variant", "attrs", "case"] },
  { is: "check", flag: "--check", takes: ["check", "variant"] },
] as const;
const ON_A_FILE = { flag: "--in and --out", takes: ["in", "out", "attrs", "backward", "variant", "dtype"] };

export default function (program: Command): void {
  program
    .command("op")
    .description("run one operation on tensors from a safetensors file, or check it")
    .argument("[name]", "the operation; see --list")
    .option("--in <file>", "safetensors file with the inputs by name, and dy with --backward")
    .option("--out <file>", "safetensors file to write: the outputs by name; with --backward also d<input>")
    .option("--attrs <json>", "attributes as a JSON object, e.g. '{\"eps\":1e-5}'; see --list")
    .option("--backward", "also compute the gradients of sum(y * dy)")
    .option("--variant <name>", "kernel variant to force; see --list (default: the adapter's choice)")
    .option("--dtype <name>", "storage of floating tensors: f32 or f16; sums are f32 in both cases", "f32")
    .option("--list", "print every operation with its inputs, attributes, defaults and variants")
    .option("--check", "run the operation's own test cases and time it, instead of --in and --out")
    .option("--watch", "run --check again whenever one of its files is saved")
    .option(
      "--print-wgsl",
      "print the WGSL modules of its launches, forward and backward, at its first timed size or for --case; runs nothing",
    )
    .option(
      "--file <path>",
      "WGSL file that replaces a shipped module in the operation's cases: what --print-wgsl prints, changed. Exit code 0: right, 1: wrong or too slow, 2: unusable",
    )
    .option("--case <name>", "with --file or --print-wgsl: only cases whose name contains this")
    .option("--time", "with --file: time it in turns with the shipped kernel")
    .option("--step", "with --file: time a DeiT's training step with it, in turns with the shipped step")
    .option(
      "--dbg <threads>",
      'with --file: print what dbg(i, value); in it sees, by WORKGROUP:THREAD or WORKGROUP:FIRST-LAST, such as "0:0-3, 5:1"',
    )
    .option(
      "--at-least <ratio>",
      "with --file: exit code 1 if its speed is below RATIO times the shipped kernel's, 0 or more (default: no limit)",
      number(0),
    )
    .option("--challenges", "print every challenge: what is to be computed, faster than the shipped kernel does")
    .option(
      "--challenge <name>",
      "print the challenge's start; with --file: judge that entry on sizes and values drawn now (--seed: those of another time). Exit code 0: right, 1: refused or too slow, 2: unusable",
    )
    .option("--shipped", "with --challenge: judge the shipped kernels themselves; their score is 1, within what noise does here")
    .option("--again <file>", "a result that --challenge wrote by --json: judge its entry again, on the same sizes and values")
    .action(async (name: string | undefined, options: Options, command: Command) => {
      const { flag, takes } = MODES.find(({ is }) => options[is] !== undefined) ?? ON_A_FILE;
      refuseOthers(command, flag, takes);
      if (options.list) {
        if (name !== undefined) throw new UsageError(`expected --list without an operation, got "${name}"`);
        const { describeOps } = await import("../../checks/catalog.ts");
        print(`${describeOps()}\n`);
        return;
      }
      if (options.challenges || options.challenge !== undefined || options.again !== undefined) {
        const { challenge } = await import("../challenge.ts");
        return challenge(name, options);
      }
      const { in: input, out, attrs, backward, variant, dtype } = options;
      if (name === undefined) throw new UsageError("expected the name of an operation, got none; see tessera op --list");
      if (options.check || options.watch || options.printWgsl || options.file !== undefined) return develop(name, options);
      if (input === undefined || out === undefined)
        throw new UsageError(`expected ${input === undefined ? "--in" : "--out"} <file>, got none; see tessera op --help`);
      const args: OpArgs = {
        name,
        in: input,
        out,
        backward,
        variant,
        dtype: parseDtype(dtype),
        attrs: attrs === undefined ? undefined : jsonObject("--attrs", attrs),
      };
      const { outputs } = await runJob<OpResult>("op", args, options);
      for (const [output, shape] of Object.entries(outputs)) print(`${output} [${shape.join(",")}]\n`);
    });
}

/** Does `--watch`, `--print-wgsl` and `--check`, the modes for writing a kernel. */
async function develop(name: string, options: Options): Promise<void> {
  const { opNamed } = await import("../../checks/catalog.ts");
  refusing(() => opNamed(name)); // before an adapter is opened
  const { attrs, variant } = options;
  if (options.watch) {
    const { watchOp } = await import("../watch-op.ts");
    const pass = (["where", "adapter", "variant", "attrs", "file", "case", "dbg", "json"] as const).flatMap((key) =>
      options[key] === undefined ? [] : [`--${key}`, options[key]],
    );
    const what = options.printWgsl
      ? ["--print-wgsl"]
      : [
          ...(options.dbg === undefined || options.check ? ["--check"] : []),
          ...(options.time ? ["--time"] : []),
          ...(options.step ? ["--step"] : []),
        ];
    const least = options.atLeast === undefined ? [] : ["--at-least", String(options.atLeast)];
    return watchOp(name, [BIN, "op", name, ...what, ...least, ...pass], options.file);
  }
  if (options.file !== undefined) {
    const { judgeFile } = await import("../op-file.ts");
    return judgeFile(name, { ...options, file: options.file });
  }
  if (options.printWgsl) {
    const { launches } = await runJob<WgslResult>(
      "op-wgsl",
      { name, variant, only: options.case, attrs: attrs === undefined ? undefined : jsonObject("--attrs", attrs) } satisfies WgslArgs,
      options,
    );
    print(
      launches
        .map(
          ({ pass, kernel, groups, wgsl }) =>
            `// ${pass}: ${[kernel, ...(groups.length > 0 ? [`${groups.join(" x ")} workgroups`] : [])].join(", ")}\n${wgsl}\n`,
        )
        .join("\n"),
    );
    return;
  }
  const result = await runJob<CheckResult>("check-op", { name, variant } satisfies CheckArgs, options);
  for (const line of checkLines(name, result)) print(`${line}\n`);
  const { failures, broken, passed } = result;
  if (broken) throw new Error(`expected WGSL that compiles, got ${broken.split("\n")[0]}`);
  if (failures.length > 0)
    throw new Error(`expected every check of ${name} to pass, got ${failures.length} of ${passed + failures.length} that failed`);
}

function checkLines(name: string, { passed, skipped, failures, broken, speeds, ceilings }: CheckResult): string[] {
  if (broken) return [broken];
  const share = (value: number | null, most: number, unit: string) =>
    value === null ? [] : [`${value} ${unit} (${((100 * value) / most).toFixed(0)} % of the measured ${most})`];
  return [
    `${name}: ${passed} of ${passed + failures.length} checks passed${skipped > 0 ? `, ${skipped} skipped: the adapter lacks what they need` : ""}`,
    ...failures.map((f) => `FAILED ${f.name}: ${f.reason}`),
    ...speeds.map(({ name: shape, ms, gflops, gbps }) =>
      [`${shape}: ${ms} ms`, ...share(gflops, ceilings!.fmaGFlops, "GFLOP/s"), ...share(gbps, ceilings!.copyGBps, "GB/s")].join(", "),
    ),
    ...(failures.length === 0 && speeds.length === 0 ? [`${name}: not timed, the benchmark has no case of it`] : []),
  ];
}

/** `op NAME --file KERNEL.wgsl`: what the verdict says, and the exit code that goes with it. */
import { flagsOf, isApart, LIMIT, runApart, signing } from "./node/apart.ts";
import type { CaseVerdict } from "../jobs/lab/check.ts";
import type { Compared } from "../jobs/lab/time.ts";
import type { OpFileArgs, OpFileResult } from "../jobs/op-file.ts";
import { UsageError } from "../jobs/errors.ts";
import { print } from "./output.ts";
import { runJob, type CommonOptions } from "./run-job.ts";

export interface FileOptions extends CommonOptions {
  readonly file: string;
  readonly case?: string | undefined;
  readonly check?: boolean | undefined;
  readonly time?: boolean | undefined;
  readonly step?: boolean | undefined;
  readonly dbg?: string | undefined;
  readonly atLeast?: number | undefined;
}

/**
 * Prints the verdict, from a process of its own. Exit code 1 where the kernel is wrong or slower than asked, 2 where it cannot be judged.
 */
export async function judgeFile(name: string, options: FileOptions): Promise<void> {
  if (isApart()) return judge(name, options);
  const { file, check, time, step, dbg, atLeast, json, where, adapter, debug, gpuTimeout = LIMIT } = options;
  const flags = { file, case: options.case, check, time, step, dbg, atLeast, json, where, adapter, gpuTimeout, debug };
  return runApart(["op", name, ...flagsOf(flags)], gpuTimeout);
}

async function judge(name: string, options: FileOptions): Promise<void> {
  const { file, case: only, atLeast, gpuTimeout = LIMIT } = options;
  const time = options.time === true || atLeast !== undefined;
  const check = options.check === true || (!time && options.dbg === undefined);
  const args: OpFileArgs = { name, file, only, check, time, step: options.step, dbg: options.dbg };
  const result = await signing(runJob<OpFileResult>("op-file", args, options), gpuTimeout);
  for (const line of lines(result)) print(`${line}\n`);
  const wrong = result.cases.filter(({ ok }) => !ok);
  if (wrong.length > 0)
    throw new Error(`expected every case that runs ${result.module} to hold, got ${wrong.length} of ${ran(result).length} that do not`);
  if (atLeast === undefined) return;
  if (!result.time) throw new UsageError(`expected a kernel that can be timed, got ${result.notTimed}`);
  if (result.time.ratioRange[1] < atLeast)
    throw new Error(
      `expected at least ${atLeast} times the shipped kernel's speed, got ${result.time.ratio} (${result.time.ratioRange.join(" to ")})`,
    );
}

const ran = ({ cases }: OpFileResult): CaseVerdict[] => cases.filter(({ uses }) => uses);

function lines(result: OpFileResult): string[] {
  const { module, cases, time, roofline, notTimed, step, notInStep, seen } = result;
  const used = ran(result);
  return [
    ...(seen?.rows ?? []).map(
      (row) => `workgroup ${row.workgroup}, thread ${row.thread}, line ${row.line}: dbg(${row.i}) saw ${row.value.join(", ")}`,
    ),
    ...(seen && seen.left > 0 ? [`${seen.left} more found no room`] : []),
    ...(cases.length > 0
      ? [
          `${module}: ${used.filter(({ ok }) => ok).length} of ${used.length} cases that run it are right; ${cases.length - used.length} others do not run it`,
        ]
      : []),
    ...used.filter(({ ok }) => !ok).flatMap(wrongLines),
    ...(time ? [`${time.size}: ${comparison(time)}`] : []),
    ...(roofline
      ? [
          [
            `${(100 * roofline.fraction).toFixed(0)} % of what ${roofline.boundBy} allows here`,
            `${roofline.gbps} of ${roofline.ceilings.copyGBps} GB/s`,
            ...(roofline.gflops === null ? [] : [`${roofline.gflops} of ${roofline.ceilings.fmaGFlops} GFLOP/s`]),
          ].join(", "),
        ]
      : []),
    ...(notTimed ? [`not timed: ${notTimed}`] : []),
    ...(step ? [`training step of ${step.step}, ${step.edited} of its ${step.launches} launches edited: ${comparison(step)}`] : []),
    ...(notInStep ? [`no training step: ${notInStep}`] : []),
  ];
}

const comparison = ({ ms, shippedMs, ratio, ratioRange, pairs, verdict }: Compared): string =>
  `${ms} ms, shipped ${shippedMs} ms: ${ratio} times its speed (${ratioRange.join(" to ")}, ${pairs} pairs): ${verdict}`;

function wrongLines({ name, values, gradients = {}, faults }: CaseVerdict): string[] {
  const off = Object.entries({ y: values, ...Object.fromEntries(Object.entries(gradients).map(([k, f]) => [`d${k}`, f])) });
  return [
    ...faults.map((fault) => `WRONG ${name}: ${fault}`),
    ...off.flatMap(([what, f]) => (f && !f.ok ? [`WRONG ${name}: ${what}[${f.at}]: expected ${f.expected}, got ${f.got}`] : [])),
  ];
}

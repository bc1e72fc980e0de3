/** `op NAME --file KERNEL.wgsl`: what the verdict says, and the exit code that goes with it. */
import { spawn } from "node:child_process";
import { watchGpu } from "./node/watchdog.ts";
import type { CaseVerdict } from "../jobs/lab/check.ts";
import type { Compared } from "../jobs/lab/time.ts";
import type { OpFileArgs, OpFileResult } from "../jobs/op-file.ts";
import { UsageError } from "../jobs/errors.ts";
import { print } from "./output.ts";
import { BIN } from "./place.ts";
import { runJob, type CommonOptions } from "./run-job.ts";

/** Seconds without a sign of life after which a kernel is taken to loop for ever. */
const LIMIT = 30;
const BEAT_MS = 500;
/** Set in the process that runs the kernel. */
const JUDGING = "TESSERA_JUDGING";

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
 * Prints the verdict, from a process of its own: a kernel that never ends holds the whole process where a driver computes on the caller's
 * thread. Exit code 1 where the kernel is wrong or slower than asked, 2 where it cannot be judged.
 */
export async function judgeFile(name: string, options: FileOptions): Promise<void> {
  if (process.env[JUDGING]) return judge(name, options);
  const values = { ...options, gpuTimeout: options.gpuTimeout ?? LIMIT };
  const flags = (
    ["file", "case", "check", "time", "step", "dbg", "atLeast", "json", "where", "adapter", "gpuTimeout", "debug"] as const
  ).flatMap((key) => {
    const value = values[key];
    const flag = `--${key.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}`;
    return value === undefined || value === false ? [] : value === true ? [flag] : [flag, String(value)];
  });
  const child = spawn(process.execPath, [BIN, "op", name, ...flags], {
    env: { ...process.env, [JUDGING]: "1" },
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  const end = () => void child.kill("SIGKILL");
  process.once("exit", end);
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => process.exit(130));
  let hung = false;
  const giveUp = () => {
    hung = true;
    end();
  };
  let timer = setTimeout(giveUp, 1000 * values.gpuTimeout + START_MS);
  child.on("message", () => {
    clearTimeout(timer);
    timer = setTimeout(giveUp, 1000 * values.gpuTimeout);
  });
  const code = await new Promise<number | null>((resolve, reject) => child.on("error", reject).on("close", resolve));
  clearTimeout(timer);
  process.off("exit", end);
  if (hung) throw new UsageError(notEnding(values.gpuTimeout));
  if (code === null) throw new UsageError("expected a kernel that the driver survives, got a process that it ended");
  process.exitCode = code;
}

const START_MS = 20_000;
const notEnding = (seconds: number): string => `expected a kernel that ends, got nothing for ${seconds} s; --gpu-timeout allows for more`;

async function judge(name: string, options: FileOptions): Promise<void> {
  const { file, case: only, atLeast, gpuTimeout = LIMIT } = options;
  const beat = setInterval(() => process.send?.("alive"), BEAT_MS);
  const time = options.time === true || atLeast !== undefined;
  const check = options.check === true || (!time && options.dbg === undefined);
  const args: OpFileArgs = { name, file, only, check, time, step: options.step, dbg: options.dbg };
  const watch = watchGpu(answered, gpuTimeout);
  const result = await watch
    .during(runJob<OpFileResult>("op-file", args, options))
    .catch((error: Error) => {
      if (watch.stalled() || /^expected the GPU to answer within/.test(error.message)) throw new UsageError(notEnding(gpuTimeout));
      if (error.name === "DeviceLostError") throw new UsageError(`expected a kernel that the device survives, got: ${error.message}`);
      throw error;
    })
    .finally(() => {
      watch.stop();
      clearInterval(beat);
      process.disconnect?.();
    });
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

/** Settles when this process's GPU has done its work so far; a page's is watched where it is opened. */
async function answered(): Promise<void> {
  const { getDevice } = await import("../engine/device.ts");
  let device: ReturnType<typeof getDevice>;
  try {
    device = getDevice();
  } catch {
    return; // none yet, or it is a page's
  }
  await device.gpu.queue.onSubmittedWorkDone();
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

/** Runs work that may never end, or may take the driver down, in a process of its own: this command again, watched. */
import { spawn } from "node:child_process";
import { UsageError } from "../../jobs/errors.ts";
import { BIN } from "../place.ts";
import { onStopSignal } from "./host.ts";
import { watchGpu } from "./watchdog.ts";

/** Seconds without a sign of life after which a kernel is taken to loop for ever. */
export const LIMIT = 30;
const BEAT_MS = 500;
const START_MS = 20_000;
/** Set in the process that runs the kernel. */
const JUDGING = "TESSERA_JUDGING";

/** Whether this is that process. */
export const isApart = (): boolean => process.env[JUDGING] !== undefined;

/**
 * Runs the command with these arguments, and takes over its exit code: a kernel that never ends holds the whole process where a driver
 * computes on the caller's thread. A `UsageError` where it gives no sign of life for `seconds`, or the driver ends it.
 */
export async function runApart(args: readonly string[], seconds: number): Promise<void> {
  const child = spawn(process.execPath, [BIN, ...args], {
    env: { ...process.env, [JUDGING]: "1" },
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  const end = () => void child.kill("SIGKILL");
  process.once("exit", end);
  const release = onStopSignal((code) => process.exit(code));
  let hung = false;
  const giveUp = () => {
    hung = true;
    end();
  };
  let timer = setTimeout(giveUp, 1000 * seconds + START_MS);
  child.on("message", () => {
    clearTimeout(timer);
    timer = setTimeout(giveUp, 1000 * seconds);
  });
  const code = await new Promise<number | null>((resolve, reject) => child.on("error", reject).on("close", resolve));
  clearTimeout(timer);
  process.off("exit", end);
  release();
  if (hung) throw new UsageError(notEnding(seconds));
  if (code === null) throw new UsageError("expected a kernel that the driver survives, got a process that it ended");
  process.exitCode = code;
}

const notEnding = (seconds: number): string => `expected a kernel that ends, got nothing for ${seconds} s; --gpu-timeout allows for more`;

/** The work, in that process: gives signs of life, and tells a GPU that answers no more by a `UsageError`. */
export async function signing<T>(work: Promise<T>, seconds: number): Promise<T> {
  const beat = setInterval(() => process.send?.("alive"), BEAT_MS);
  const watch = watchGpu(answered, seconds);
  return watch
    .during(work)
    .catch((error: Error) => {
      if (watch.stalled() || /^expected the GPU to answer within/.test(error.message)) throw new UsageError(notEnding(seconds));
      if (error.name === "DeviceLostError") throw new UsageError(`expected a kernel that the device survives, got: ${error.message}`);
      throw error;
    })
    .finally(() => {
      watch.stop();
      clearInterval(beat);
      process.disconnect?.();
    });
}

/** Settles when this process's GPU has done its work so far; a page's is watched where it is opened. */
async function answered(): Promise<void> {
  const { getDevice } = await import("../../engine/device.ts");
  let device: ReturnType<typeof getDevice>;
  try {
    device = getDevice();
  } catch {
    return; // none yet, or it is a page's
  }
  await device.gpu.queue.onSubmittedWorkDone();
}

/** Options as the arguments that give them: `--gpu-timeout 30`; what is undefined or false is left out. */
export const flagsOf = (options: Readonly<Record<string, string | number | boolean | undefined>>): string[] =>
  Object.entries(options).flatMap(([key, value]) => {
    const flag = `--${key.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}`;
    return value === undefined || value === false ? [] : value === true ? [flag] : [flag, String(value)];
  });

/** Shared by the modes of `bench`: its options, the installation of rivals, and the commit that is measured. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { RivalName } from "../../bench/rivals.ts";
import type { BenchArgs, BenchResult } from "../../bench/session.ts";
import { UsageError } from "../../jobs/errors.ts";
import { stoppedExitCode } from "../node/host.ts";
import { note } from "../output.ts";
import { IN_REPOSITORY, ROOT, VERSION } from "../place.ts";
import type { CommonOptions } from "../run-job.ts";

export interface BenchOptions extends CommonOptions {
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

/** The requested rivals that run at `where`, with their libraries installed. */
export async function rivalsOf(against: string, where: "node" | "chromium"): Promise<readonly RivalName[]> {
  const { installRivals, rivalNames, rivalsIn } = await import("../../bench/rivals.ts");
  const asked = against.split(",").map((name) => name.trim());
  const unknown = asked.find((name) => name !== "all" && name !== "none" && !rivalNames.includes(name as RivalName));
  if (unknown !== undefined) throw new UsageError(`expected --against ${rivalNames.join(", ")}, all or none, got ${unknown}`);
  const names = against === "none" ? [] : asked.includes("all") ? rivalsIn(where) : (asked as RivalName[]);
  if (names.length > 0) await installRivals(say);
  return names;
}

/** Arguments of the job: rivals as modules that the process or page can import. */
export async function prepare(options: BenchOptions, where: "node" | "chromium"): Promise<BenchArgs> {
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

/** Throws if some cases did not run; sets the exit code if a signal stopped them. The measured ones are kept. */
export function wholeOf({ cases, notRun = [], stopped }: BenchResult): void {
  if (notRun.length === 0) return;
  const counts = `${cases.length} of ${cases.length + notRun.length}`;
  if (stoppedExitCode() === 0) throw new Error(`expected every case to run, got ${counts}: ${stopped}`);
  process.exitCode = stoppedExitCode();
  note(`stopped after ${counts} cases`);
}

export const say = (message: string): void => void note(message);

/** The measured version: git's commit, or the package's version without git. */
export async function commit(): Promise<string> {
  if (!IN_REPOSITORY) return `v${VERSION}`;
  const git = async (...args: string[]) => (await promisify(execFile)("git", args, { cwd: ROOT })).stdout.trim();
  try {
    return `${await git("rev-parse", "--short=12", "HEAD")}${(await git("status", "--porcelain", "--", "engine", "kernels", "models", "train", "bench")) ? "-dirty" : ""}`;
  } catch {
    return "unknown";
  }
}

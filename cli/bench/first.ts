/**
 * `bench --suite first`: the time from nothing to the first result, with every pipeline to compile, and the memory that takes.
 * Each contender gets its own process or page, with the driver's shader cache off.
 */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { BenchResult } from "../../bench/session.ts";
import { BIN } from "../place.ts";
import type { CommonOptions } from "../run-job.ts";

interface First {
  readonly case: string;
  readonly contender: string;
  /** Upload, compile, run once. */
  readonly firstMs?: number;
  readonly medianMs?: number;
  readonly memoryBytes?: number;
  readonly error?: string;
}

export interface FirstRuns extends Pick<BenchResult, "adapter" | "commit" | "date" | "versions"> {
  readonly where: string;
  readonly suite: "first";
  readonly first: readonly First[];
}

/** A contender that runs on every adapter, used to find out which adapter this is. */
const PROBE = "train deit_dim96_depth4_distilled_patch4_32 B8";
const CASES = {
  software: ["forward deit_dim96_depth4_distilled_patch4_32 B8", PROBE],
  gpu: ["forward deit_tiny_distilled_patch16_224 B1", "train deit_tiny_distilled_patch16_224 B4"],
};

export async function firstRuns(options: CommonOptions & { readonly against: string }): Promise<FirstRuns> {
  const where = options.where ?? "node";
  const folder = await mkdtemp(join(tmpdir(), "tessera-first-"));
  const alone = async (name: string, rival: string | null): Promise<BenchResult> => {
    const file = join(folder, "result.json");
    const args = [
      BIN,
      "bench",
      "--where",
      where,
      "--suite",
      "all",
      "--cases",
      name,
      "--against",
      rival ?? "none",
      ...(rival ? ["--alone"] : []),
      "--samples",
      "3",
      "--json",
      file,
      ...(options.adapter ? ["--adapter", options.adapter] : []),
    ];
    // Mesa and NVIDIA keep compiled shaders in files between processes.
    const env = { ...process.env, MESA_SHADER_CACHE_DISABLE: "true", __GL_SHADER_DISK_CACHE: "0" };
    await promisify(execFile)(process.execPath, args, { env, maxBuffer: 1 << 26 });
    return JSON.parse(await readFile(file, "utf8")) as BenchResult;
  };
  try {
    const first: First[] = [];
    const { adapter, commit, date, versions: own } = await alone(PROBE, null);
    const versions = { ...own };
    for (const contender of ["ours", ...(options.against === "none" ? [] : options.against.split(","))]) {
      for (const name of CASES[adapter.software ? "software" : "gpu"])
        first.push({ case: name, contender, ...(await outcome(alone(name, contender === "ours" ? null : contender), versions)) });
    }
    return { where, suite: "first", adapter, commit, date, versions, first };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** One contender's result; the rival's version goes to `versions`. */
async function outcome(measured: Promise<BenchResult>, versions: Record<string, string>): Promise<Omit<First, "case" | "contender">> {
  try {
    const result = await measured,
      timing = result.cases[0]!.ours;
    Object.assign(versions, result.versions);
    return "error" in timing
      ? timing
      : {
          firstMs: timing.firstMs,
          medianMs: timing.medianMs,
          ...(timing.memoryBytes === undefined ? {} : { memoryBytes: timing.memoryBytes }),
        };
  } catch (error) {
    return { error: (error as { stderr?: string }).stderr?.trim().split("\n").at(-1) ?? (error as Error).message };
  }
}

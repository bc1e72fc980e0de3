/** Runs a job on Dawn in Node, or in a headless Chromium page. */
import { performance } from "node:perf_hooks";
import { adapterName, type AdapterDescription } from "../engine/device.ts";
import type { Tuning } from "../kernels/shared/tuning.ts";
import { errorData, toError, UsageError } from "../jobs/errors.ts";
import { knownSetup } from "./node/find.ts";
import { EXTENSION } from "./place.ts";
import { afterwards } from "./output.ts";
import { nodeHost } from "./node/host.ts";
import type { Host } from "../jobs/host.ts";
import { stopProgress } from "./node/progress.ts";
import { note } from "./output.ts";

/** The options that every verb has, as commander gives them. */
export interface CommonOptions {
  readonly where?: "node" | "chromium" | undefined;
  /** "swiftshader", "lavapipe", or part of the adapter's name. */
  readonly adapter?: string | undefined;
  readonly seed?: number | undefined;
  /** File for the result as JSON. */
  readonly json?: string | undefined;
  readonly debug?: boolean | undefined;
  /** Whether tiles are raced; undefined: on GPUs in Node. */
  readonly races?: boolean | undefined;
  /** Seconds without an answer from a page's GPU after which the job fails; 0: no limit. */
  readonly gpuTimeout?: number | undefined;
}

/**
 * Runs jobs/`job`.ts with `args` (JSON-able) and resolves to what it does. Names the adapter first, on stderr.
 * With `--json` the result is also written there, with the adapter beside it, once the verb has printed it.
 * `then` is called with both. Kernels go by the adapter's tuned table, if there is one; not where they are being tuned.
 */
export async function runJob<Result>(
  job: string,
  args: unknown,
  options: CommonOptions,
  host: Host = nodeHost(),
  then?: (adapter: AdapterDescription, result: unknown) => Promise<void>,
): Promise<Result> {
  const started = performance.now();
  const where = options.where ?? ((await knownSetup()).node || options.adapter ? "node" : "chromium");
  try {
    const { result, adapter } = await (where === "node" ? inNode(job, args, options, host) : inChromium(job, args, options, host));
    stopProgress();
    await then?.(adapter, result);
    if (options.json !== undefined)
      writeJson(host, options.json, { where, adapter, seconds: (performance.now() - started) / 1000, ...(result as object) });
    return result as Result;
  } finally {
    stopProgress();
  }
}

/** Writes a result as JSON after the verb has printed its output, so that a failed write does not lose it. `runJob` calls this itself. */
export function writeJson(host: Host, path: string, result: object): void {
  afterwards(() => host.writeFile(path, new TextEncoder().encode(`${JSON.stringify(result, null, 2)}\n`)));
}

/** One line on stderr: which adapter, whether it is software, and where. */
export function announce(adapter: AdapterDescription, where: "node" | "chromium"): void {
  const kind = adapter.software ? "SOFTWARE, runs on the CPU" : "GPU";
  note(`adapter: ${adapterName(adapter)} (${kind}), in ${where === "node" ? "Node" : "Chromium"}`);
}

async function tuningFor(job: string, adapter: AdapterDescription): Promise<Tuning | null> {
  if (job === "tune") return null;
  const { savedTuning } = await import("./node/tuning-cache.ts");
  const tuning = await savedTuning(adapter);
  if (tuning && ["train", "bench"].includes(job)) note(`kernels: ${Object.keys(tuning.choices).length} shapes tuned, by ${tuning.source}`);
  return tuning;
}

/** Jobs that time kernels as they are chosen without races. */
const WITHOUT_RACES = ["tune", "bench"];

interface Ran {
  readonly result: unknown;
  readonly adapter: AdapterDescription;
}

// Imported here and not above, so that `--help` loads neither Dawn nor Vite.
async function inNode(job: string, args: unknown, options: CommonOptions, host: Host): Promise<Ran> {
  const { openNodeDevice } = await import("./node/adapter.ts");
  const { adapter } = await openNodeDevice(options.adapter).catch(badAdapter);
  announce(adapter, "node");
  const { useTuning } = await import("../kernels/shared/tuning.ts");
  useTuning(await tuningFor(job, adapter));
  if (options.races !== false && !WITHOUT_RACES.includes(job)) {
    const { raceStore } = await import("./node/tuning-cache.ts");
    const { useRaces } = await import("../kernels/gemm/race.ts");
    await useRaces({ store: raceStore(adapter), software: options.races });
  }
  const { default: run } = (await import(new URL(`../jobs/${job}${EXTENSION}`, import.meta.url).href)) as {
    default: (host: Host, args: unknown) => Promise<unknown>;
  };
  return { result: await run(host, args), adapter };
}

async function inChromium(job: string, args: unknown, options: CommonOptions, host: Host): Promise<Ran> {
  const { openChromium } = await import("./node/chromium.ts");
  const name = options.adapter?.toLowerCase();
  const kind =
    name === undefined ? undefined : "swiftshader".includes(name) ? "swiftshader" : /^(lavapipe|llvmpipe)$/.test(name) ? "lavapipe" : "gpu";
  const named = kind === "gpu" ? options.adapter : undefined;
  const chromium = await openChromium({ adapter: kind, named, host, gpuTimeout: options.gpuTimeout }).catch(badAdapter);
  try {
    announce(chromium.adapter, "chromium");
    const tuning = await tuningFor(job, chromium.adapter);
    if (tuning) await chromium.runModule(`/kernels/shared/tuning${EXTENSION}`, "useTuning", [tuning]);
    // Only on request: a page of this command keeps nothing, and the next run could choose other tiles, with other bits.
    if (options.races && !WITHOUT_RACES.includes(job))
      await chromium.runModule(`/kernels/gemm/race${EXTENSION}`, "useRaces", [{ software: true }]);
    return { result: await chromium.runJob(`/jobs/${job}${EXTENSION}`, args), adapter: chromium.adapter };
  } finally {
    await chromium.close();
  }
}

/** Makes the error of a named adapter that is missing a `UsageError`. */
function badAdapter(error: unknown): never {
  const data = errorData(error);
  throw data.name === "AdapterError" && /named/.test(data.message) ? new UsageError(data.message) : toError(data);
}

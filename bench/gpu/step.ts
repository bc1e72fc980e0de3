/** What every step of the GPU run shares: its adapter with Dawn's switches, the tuned table, the file it leaves. Node only. */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { adapterName, type AdapterDescription, type Device } from "../../engine/device.ts";
import { initNodeDevice } from "../../tasks/node.ts";
import { useTuning } from "../../kernels/shared/tuning.ts";

const FINE_CLOCK = "disable-dawn-features=timestamp_quantization";

/**
 * Dawn's switches. `safe` is what a page runs with, but for its coarse clock; `f16` lets NVIDIA's driver have shader-f16, which
 * Dawn withholds; `matrix` adds the experimental subgroup matrices; `unsafe` drops every check of bounds and of calls, and
 * `matrixUnsafe` does so beside `matrix`.
 */
export const TOGGLES = {
  safe: [FINE_CLOCK],
  f16: ["enable-dawn-features=vulkan_enable_f16_on_nvidia", FINE_CLOCK],
  matrix: ["enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia,use_vulkan_memory_model", FINE_CLOCK],
  matrixUnsafe: [
    "enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia,use_vulkan_memory_model,skip_validation,disable_robustness,disable_workgroup_init,disable_polyfills_on_integer_div_and_mod",
    FINE_CLOCK,
  ],
  unsafe: [
    "enable-dawn-features=skip_validation,disable_robustness,disable_workgroup_init,disable_polyfills_on_integer_div_and_mod",
    FINE_CLOCK,
  ],
} as const;

export type Toggles = keyof typeof TOGGLES;

export interface Run {
  /** Folder of results. */
  readonly out: string;
  /** Small sizes only, as a test that the run works; also on a software adapter. */
  readonly smoke: boolean;
  /** Seconds after which a step starts nothing new. */
  readonly seconds: number;
}

/** Opens the adapter, says which, and takes the tables that the steps `tune` and `tune-matrix` left. */
export async function open(toggles: Toggles, { out, smoke }: Run): Promise<Device> {
  const device = await initNodeDevice({ toggles: TOGGLES[toggles], request: { powerPreference: "high-performance" } });
  const { adapter } = device;
  console.log(
    `adapter: ${adapterName(adapter)} (${adapter.software ? "SOFTWARE, runs on the CPU" : "GPU"}), in Node; Dawn: ${TOGGLES[toggles].join(" ")}`,
  );
  if (adapter.software && !smoke)
    throw new Error(`gpu: expected a GPU, got ${adapterName(adapter)} (--smoke runs everything small, on any adapter)`);
  const tuned = ["tune", "tune-matrix"]
    .map((step) => read<{ adapter: AdapterDescription; choices: Record<string, string> }>(out, step))
    .filter((found) => found !== null && adapterName(found.adapter) === adapterName(adapter));
  if (tuned.length > 0) {
    const choices = Object.assign({}, ...tuned.map((found) => found?.choices)) as Record<string, string>;
    useTuning({ source: "step tune", choices });
    console.log(`kernels: ${Object.keys(choices).length} shapes tuned`);
  }
  return device;
}

/** Replaces a step's file atomically: a killed process leaves the last complete one. */
export function save(out: string, step: string, result: object): void {
  mkdirSync(join(out, "steps"), { recursive: true });
  const file = join(out, "steps", `${step}.json`);
  writeFileSync(`${file}.part`, `${JSON.stringify(result, null, 1)}\n`);
  renameSync(`${file}.part`, file);
}

/** A step's saved result, or `null`. */
export function read<T>(out: string, step: string): T | null {
  const file = join(out, "steps", `${step}.json`);
  return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as T) : null;
}

/** Whether the step's time limit is over. */
export function stopwatch(seconds: number): () => boolean {
  const from = performance.now();
  return () => performance.now() - from > 1000 * seconds;
}

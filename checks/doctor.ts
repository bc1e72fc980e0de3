/** Every kernel's self-test on the current adapter, forward and backward against f64, and the adapter's description. */
import { adapterName, getDevice, type Device, type Stats } from "../engine/device.ts";
import { matricesOf } from "../kernels/gemm/matrix.ts";
import { DeviceLostError } from "../engine/errors.ts";
import { suites } from "./catalog.ts";
import type { Case } from "./check.ts";

export interface Tested {
  /** File of checks/cases, without ".ts". */
  readonly suite: string;
  readonly name: string;
  readonly result: "passed" | "failed" | "skipped";
  readonly timeMs: number;
  /** Why it failed or was skipped. */
  readonly reason?: string;
}

export interface Diagnosis {
  readonly where: "node" | "chromium";
  readonly device: Described;
  /** What races of tiles have found, in a sentence. */
  readonly races: string;
  readonly tested: readonly Tested[];
  readonly counters: Stats;
}

export interface Described {
  readonly name: string;
  readonly software: boolean;
  readonly features: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
  readonly subgroups: string;
  /** M x N x K and the types. */
  readonly subgroupMatrix: readonly string[];
}

export interface SelfTest {
  readonly suite: string;
  readonly test: Case;
}

export const selfTests = (): SelfTest[] => Object.entries(suites).flatMap(([suite, cases]) => cases.map((test) => ({ suite, test })));

/** Runs them in order and calls `onResult` after each. After a device loss all further tests fail. */
export async function runSelfTests(
  tests: readonly SelfTest[],
  onResult: (result: Tested, done: number) => void = () => undefined,
  stop: () => boolean = () => false,
): Promise<Tested[]> {
  const device = getDevice();
  const tested: Tested[] = [];
  for (const { suite, test } of tests) {
    if (stop()) break;
    const result = device.lostError
      ? ({ result: "failed", timeMs: 0, reason: "the device was lost before" } as const)
      : await outcome(test, device.features);
    tested.push({ suite, name: test.name, ...result });
    onResult(tested.at(-1)!, tested.length);
  }
  return tested;
}

async function outcome(test: Case, features: ReadonlySet<string>): Promise<Pick<Tested, "result" | "timeMs" | "reason">> {
  const lacking = test.needs?.filter((f) => !features.has(f)) ?? [];
  if (lacking.length > 0) return { result: "skipped", timeMs: 0, reason: `this adapter has no ${lacking.join(", ")}` };
  const startMs = performance.now();
  const timeMs = () => Math.round(performance.now() - startMs);
  try {
    await test.run();
    return { result: "passed", timeMs: timeMs() };
  } catch (error) {
    const { message } = error as Error;
    return {
      result: "failed",
      timeMs: timeMs(),
      reason: error instanceof DeviceLostError ? message : message.split("\n").slice(0, 3).join(" | "),
    };
  }
}

export function describeDevice(device: Device): Described {
  return {
    name: adapterName(device.adapter),
    software: device.adapter.software,
    features: device.adapter.features,
    limits: limitsOf(device.limits),
    ...subgroupsOf(device),
  };
}

/** Sizes of subgroups, and the matrix shapes that subgroups multiply where the experimental feature is there. */
function subgroupsOf(device: Device): Pick<Described, "subgroups" | "subgroupMatrix"> {
  const { subgroupMinSize: min, subgroupMaxSize: max } = device.info;
  return {
    subgroups: min ? (min === max ? String(min) : `${min} to ${max}`) : "none",
    subgroupMatrix: matricesOf(device).map((c) => `${c.M}x${c.N}x${c.K} ${c.componentType} to ${c.resultComponentType}`),
  };
}

/** A `GPUSupportedLimits` has its numbers as getters of its prototype. */
function limitsOf(limits: GPUSupportedLimits): Record<string, number> {
  const values: Record<string, number> = {};
  for (const name in limits) {
    const value = limits[name as keyof GPUSupportedLimits];
    if (typeof value === "number") values[name] = value;
  }
  return values;
}

/** `doctor`: what the adapter is and can, and every kernel's self-test on it, forward and backward against f64. */
import { adapterName, getDevice, type Device, type Stats } from "../engine/device.ts";
import { DeviceLostError } from "../engine/errors.ts";
import type { Case } from "../checks/check.ts";
import type { Host } from "./host.ts";

export interface DoctorArgs {
  /** Names of files in checks/cases, without ".ts". */
  readonly suites: readonly string[];
  /** Only cases whose name contains this. */
  readonly only?: string | undefined;
}

export interface Tested {
  readonly suite: string;
  readonly name: string;
  readonly result: "passed" | "failed" | "skipped";
  readonly timeMs: number;
  /** Why it failed or was skipped. */
  readonly reason?: string;
}

export interface Diagnosis {
  readonly where: "node" | "chromium";
  readonly device: {
    readonly name: string;
    readonly software: boolean;
    readonly features: readonly string[];
    readonly limits: Readonly<Record<string, number>>;
    readonly subgroups: string;
    readonly subgroupMatrix: readonly string[];
  };
  readonly tested: readonly Tested[];
  readonly counters: Stats;
}

export default async function doctorJob(host: Host, { suites, only = "" }: DoctorArgs): Promise<Diagnosis> {
  const device = getDevice();
  const cases = (
    await Promise.all(
      suites.map(async (suite) => {
        const { href } = new URL(`../checks/cases/${suite}.ts`, import.meta.url);
        const module = (await import(/* @vite-ignore */ href)) as { readonly cases: readonly Case[] };
        return module.cases.map((test) => ({ suite, test }));
      }),
    )
  )
    .flat()
    .filter(({ test }) => test.name.includes(only));
  const tested: Tested[] = [];
  for (const { suite, test } of cases) {
    tested.push({ suite, name: test.name, ...(await outcome(test, device.features)) });
    host.progress({ label: "self-tests", done: tested.length, total: cases.length, note: suite });
    if (device.lostError) break;
  }
  for (const { suite, test } of cases.slice(tested.length))
    tested.push({ suite, name: test.name, result: "failed", timeMs: 0, reason: "the device was lost before" });
  return {
    where: typeof document === "undefined" ? "node" : "chromium",
    device: {
      name: adapterName(device.adapter),
      software: device.adapter.software,
      features: device.adapter.features,
      limits: limitsOf(device.limits),
      ...subgroupsOf(device),
    },
    tested,
    counters: { ...device.stats },
  };
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

/** Sizes of subgroups, and the matrix shapes (M x N x K) that subgroups multiply where the experimental feature is there. */
function subgroupsOf({ gpu, subgroupMatrices }: Device): { subgroups: string; subgroupMatrix: string[] } {
  const { subgroupMinSize: least, subgroupMaxSize: most } = gpu.adapterInfo;
  return {
    subgroups: least ? (least === most ? String(least) : `${least} to ${most}`) : "none",
    subgroupMatrix: subgroupMatrices.map((c) => `${c.M}x${c.N}x${c.K} ${c.componentType} to ${c.resultComponentType}`),
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

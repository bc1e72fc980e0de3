/** `bench`: our kernels and models against others' on the adapter at hand, in this process or page. */
import { cases, type Suite } from "../../bench/cases.ts";
import type { Contender, RivalOptions } from "../../bench/contender.ts";
import { ours } from "../../bench/ours.ts";
import { limitsFor, measure, type Limits, type Measured } from "../../bench/run.ts";
import { getDevice, type AdapterDescription } from "../../engine/device.ts";
import { UsageError } from "../errors.ts";
import type { Host } from "../host.ts";

export interface BenchArgs {
  readonly suite: Suite | "all";
  /** Rivals' modules by name, where this process or page can import them. */
  readonly against: Readonly<Record<string, string>>;
  /** Only cases whose name contains this. */
  readonly only: string;
  readonly samples?: number | undefined;
  readonly version: string;
  readonly commit: string;
}

export interface BenchResult {
  readonly adapter: AdapterDescription & { readonly toggles: readonly string[] };
  readonly commit: string;
  readonly date: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly rivalFlags: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly limits: Limits;
  readonly cases: readonly Measured[];
}

export default async function benchJob(host: Host, { suite, against, only, samples, version, commit }: BenchArgs): Promise<BenchResult> {
  const device = getDevice();
  const set = device.adapter.software ? "software" : "gpu";
  const chosen = cases.filter((c) => (suite === "all" || c.suite === suite) && c.sets.includes(set) && c.name.includes(only));
  if (chosen.length === 0) throw new UsageError(`expected cases of suite ${suite} with "${only}" in their name for this adapter, got none`);
  const limits = { ...limitsFor(set), ...(samples === undefined ? {} : { samples }) };
  const us = ours(version);
  const rivals: Contender[] = [];
  for (const [name, url] of Object.entries(against)) {
    host.progress({ label: `starting ${name}`, done: 0, total: 1 });
    const { default: start } = (await import(/* @vite-ignore */ url)) as { readonly default: (options: RivalOptions) => Promise<Contender> };
    rivals.push(await start({ wait: (promise) => device.wait(promise), adapter: device.adapter }));
  }

  const measured: Measured[] = [];
  for (const c of chosen) {
    host.progress({ label: "bench", done: measured.length, total: chosen.length, note: c.name });
    const one = await measure(c, us, rivals, { limits });
    measured.push(one);
    if (device.lost) throw device.lost;
  }
  return {
    adapter: { ...device.adapter, toggles: [] },
    commit, date: new Date().toISOString(),
    versions: { "tessera-gpu": version, ...runtime(), ...Object.fromEntries(rivals.map((r) => [r.name, r.version])) },
    rivalFlags: Object.fromEntries(rivals.map((r) => [r.name, r.flags])),
    limits, cases: measured,
  };
}

function runtime(): Record<string, string> {
  const node = (globalThis as { process?: { versions?: { node?: string } } }).process?.versions?.node;
  if (node) return { node };
  const [, browser, version] = /(Chrom[a-z]*|Firefox|Version)\/([\d.]+)/.exec(navigator.userAgent) ?? [];
  return browser && version ? { [browser === "Version" ? "safari" : browser.toLowerCase()]: version } : {};
}

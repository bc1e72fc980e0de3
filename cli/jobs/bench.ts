/** `bench`: our kernels and models against others' on the adapter at hand, in this process or page. */
import type { Suite } from "../../bench/case.ts";
import { chosenCases } from "../../bench/cases.ts";
import { measureCeilings, peakFraction, type Ceilings } from "../../bench/ceilings.ts";
import type { Contender, StartRival } from "../../bench/contender.ts";
import { ours } from "../../bench/ours.ts";
import { limitsFor, measure, type Limits, type Measured } from "../../bench/run.ts";
import { getDevice, type AdapterDescription } from "../../engine/device.ts";
import { UsageError } from "../errors.ts";
import type { Host } from "../host.ts";

export interface BenchArgs {
  readonly suite: Suite | "all";
  readonly quick: boolean;
  readonly large?: boolean | undefined;
  /** Rivals' modules by name, where this process or page can import them. */
  readonly against: Readonly<Record<string, string>>;
  /** URL of the rivals' own files. */
  readonly base: string;
  /** Only cases whose name contains this; of those, only these where they are named. */
  readonly only: string;
  readonly names?: readonly string[] | undefined;
  readonly samples?: number | undefined;
  /** Only the first rival, in our place: nothing has run before it. */
  readonly alone?: boolean | undefined;
  readonly version: string;
  readonly commit: string;
}

export interface BenchResult {
  readonly adapter: AdapterDescription & { readonly toggles: readonly string[] };
  readonly commit: string;
  readonly date: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly rivalFlags: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  /** Rivals that were asked for and did not start, with the reason. */
  readonly absent: Readonly<Record<string, string>>;
  readonly limits: Limits;
  /** Measured before and after the cases; the larger ones. */
  readonly ceilings: Ceilings;
  readonly cases: readonly (Measured & { /** Share of what the adapter could do at best. */ readonly peakFraction: number | null })[];
}

export default async function benchJob(host: Host, args: BenchArgs): Promise<BenchResult> {
  const { suite, quick, large = false, against, base, only, names, samples, alone = false, version, commit } = args;
  const device = getDevice();
  const set = device.adapter.software ? "software" : "gpu";
  const chosen = chosenCases(set, { suite, quick, large, only }).filter((c) => names === undefined || names.includes(c.name));
  if (chosen.length === 0) throw new UsageError(`expected cases of suite ${suite} with "${only}" in their name for this adapter, got none`);
  const limits = { ...limitsFor(set, quick), ...(samples === undefined ? {} : { samples }) };
  const contenders: Contender[] = alone ? [] : [ours(version)];
  const absent: Record<string, string> = {};
  for (const [name, url] of Object.entries(against)) {
    host.progress({ label: `starting ${name}`, done: 0, total: 1 });
    try {
      const { default: start } = (await import(/* @vite-ignore */ url)) as { readonly default: StartRival };
      contenders.push(await start({ wait: (promise) => device.wait(promise), adapter: device.adapter, base }));
    } catch (error) {
      absent[name] = error instanceof Error ? error.message.split("\n")[0]! : String(error);
    }
  }

  const [us, ...rivals] = contenders;
  if (!us) throw new Error(`bench: expected a rival that starts, got ${Object.values(absent).join("; ") || "none"}`);

  const before = alone ? null : await measureCeilings(set);
  const measured: Measured[] = [];
  try {
    for (const c of chosen) {
      host.progress({ label: "bench", done: measured.length, total: chosen.length, note: c.name });
      measured.push(await measure(c, us, rivals, { limits }));
      if (device.lost) throw device.lost;
    }
  } finally {
    for (const contender of contenders) contender.close?.();
  }
  const after = await measureCeilings(set);
  const ceilings = { copyGBps: Math.max(before?.copyGBps ?? 0, after.copyGBps), fmaGFlops: Math.max(before?.fmaGFlops ?? 0, after.fmaGFlops) };
  return {
    adapter: { ...device.adapter, toggles: [] },
    commit, date: new Date().toISOString(),
    versions: { "tessera-gpu": version, ...runtime(), ...Object.fromEntries((alone ? contenders : rivals).map((r) => [r.name, r.version])) },
    rivalFlags: Object.fromEntries(rivals.map((r) => [r.name, r.flags])),
    absent, limits, ceilings,
    cases: measured.map((m) => ({ ...m, peakFraction: "error" in m.ours ? null : peakFraction(ceilings, m.flops, m.bytes, m.ours.medianMs) })),
  };
}

function runtime(): Record<string, string> {
  const node = (globalThis as { process?: { versions?: { node?: string } } }).process?.versions?.node;
  if (node) return { node };
  const [, browser, version] = /(Chrom[a-z]*|Firefox|Version)\/([\d.]+)/.exec(navigator.userAgent) ?? [];
  return browser && version ? { [browser === "Version" ? "safari" : browser.toLowerCase()]: version } : {};
}

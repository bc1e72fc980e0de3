/** A session of the benchmark: the chosen cases, one after another, on the current device. Free of Node and of the DOM. */
import { getDevice, type AdapterDescription } from "../engine/device.ts";
import type { Suite } from "./benchmark.ts";
import { chosenCases } from "./cases.ts";
import { measureCeilings, peakFraction, type Ceilings } from "./ceilings.ts";
import type { Contender, StartRival } from "./contender.ts";
import { ours } from "./ours.ts";
import { limitsFor, measure, type Limits, type Measured } from "./run.ts";

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

/** All but the cases: known before the first of them. */
export interface BenchHead {
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
}

export interface BenchResult extends BenchHead {
  readonly cases: readonly (Measured & { /** Share of what the adapter could do at best. */ readonly peakFraction: number | null })[];
  /** Cases that were chosen and not run, and why it ended before them. */
  readonly notRun?: readonly string[];
  readonly stopped?: string;
}

export interface Watcher {
  progress(state: { readonly label: string; readonly done: number; readonly total: number; readonly note?: string }): void;
  /** Asked before each case: whether to end with what there is. */
  stopAsked(): boolean;
  began?(head: BenchHead, chosen: readonly string[]): void;
  measured?(m: Measured): void;
}

/** Throws where no case is chosen, or the device is lost before the first. Once it began, a lost device ends it with what there is. */
export async function session(args: BenchArgs, watcher: Watcher): Promise<BenchResult> {
  const { suite, quick, large = false, against, base, only, names, samples, alone = false, version, commit } = args;
  const device = getDevice();
  const set = device.adapter.software ? "software" : "gpu";
  const chosen = chosenCases(set, { suite, quick, large, only }).filter((c) => names === undefined || names.includes(c.name));
  if (chosen.length === 0)
    throw new NoCaseError(`expected cases of suite ${suite} with "${only}" in their name for this adapter, got none`);
  const limits = { ...limitsFor(set, quick), ...(samples === undefined ? {} : { samples }) };
  const contenders: Contender[] = alone ? [] : [ours(version)];
  const absent: Record<string, string> = {};
  for (const [name, url] of Object.entries(against)) {
    watcher.progress({ label: `starting ${name}`, done: 0, total: 1 });
    try {
      const { default: start } = (await import(/* @vite-ignore */ url)) as { readonly default: StartRival };
      contenders.push(await start({ wait: (promise) => device.wait(promise), adapter: device.adapter, base }));
    } catch (error) {
      absent[name] = error instanceof Error ? error.message.split("\n")[0]! : String(error);
    }
  }
  const [us, ...rivals] = contenders;
  if (!us) throw new Error(`bench: expected a rival that starts, got ${Object.values(absent).join("; ") || "none"}`);

  const before: Ceilings = alone ? { copyGBps: 0, fmaGFlops: 0 } : await measureCeilings(set);
  const head: BenchHead = {
    adapter: { ...device.adapter, toggles: [] },
    commit,
    date: new Date().toISOString(),
    versions: {
      "tessera-gpu": version,
      ...runtime(),
      ...Object.fromEntries((alone ? contenders : rivals).map((r) => [r.name, r.version])),
    },
    rivalFlags: Object.fromEntries(rivals.map((r) => [r.name, r.flags])),
    absent,
    limits,
    ceilings: before,
  };
  watcher.began?.(
    head,
    chosen.map((c) => c.name),
  );
  const measured: Measured[] = [];
  let stopped: string | undefined;
  try {
    for (const c of chosen) {
      if (watcher.stopAsked()) stopped = "stopped on request";
      if (stopped !== undefined) break;
      watcher.progress({ label: "bench", done: measured.length, total: chosen.length, note: c.name });
      const m = await measure(c, us, rivals, { limits });
      measured.push(m);
      watcher.measured?.(m);
      stopped = device.lostError?.message;
    }
  } finally {
    for (const contender of contenders) contender.close?.();
  }
  const after = device.lostError ? before : await measureCeilings(set);
  const ceilings = { copyGBps: Math.max(before.copyGBps, after.copyGBps), fmaGFlops: Math.max(before.fmaGFlops, after.fmaGFlops) };
  return resultOf(
    { ...head, ceilings },
    measured,
    chosen.map((c) => c.name),
    stopped,
  );
}

/** The caller's choice is empty. */
export class NoCaseError extends Error {
  override readonly name = "NoCaseError";
}

/** The result of what was measured so far of the cases that were chosen. */
export function resultOf(head: BenchHead, measured: readonly Measured[], chosen: readonly string[], stopped = "stopped"): BenchResult {
  const notRun = chosen.filter((name) => !measured.some((m) => m.name === name));
  return {
    ...head,
    cases: measured.map((m) => ({
      ...m,
      peakFraction: "error" in m.ours ? null : peakFraction(head.ceilings, m.flops, m.bytes, m.ours.medianMs),
    })),
    ...(notRun.length > 0 ? { notRun, stopped } : {}),
  };
}

function runtime(): Record<string, string> {
  const node = (globalThis as { process?: { versions?: { node?: string } } }).process?.versions?.node;
  if (node) return { node };
  const [, browser, version] = /(Chrom[a-z]*|Firefox|Version)\/([\d.]+)/.exec(navigator.userAgent) ?? [];
  return browser && version ? { [browser === "Version" ? "safari" : browser.toLowerCase()]: version } : {};
}

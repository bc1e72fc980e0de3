/** A result file of the benchmark, and one out of several: the suites of a machine measured one after another. */
import { peakFraction, type Ceilings } from "./ceilings.ts";
import type { Limits, Measured } from "./run.ts";

export interface ResultFile {
  readonly adapter: {
    readonly vendor: string;
    readonly architecture: string;
    readonly device: string;
    readonly description: string;
    readonly software: boolean;
    readonly features: readonly string[];
    readonly toggles: readonly string[];
  };
  readonly where: string;
  readonly commit: string;
  readonly date: string;
  readonly seconds?: number;
  readonly versions: Readonly<Record<string, string>>;
  readonly rivalFlags: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  /** Rivals that did not start, with the reason. */
  readonly absent: Readonly<Record<string, string>>;
  readonly limits: Limits;
  readonly ceilings: Ceilings;
  readonly cases: readonly (Measured & { readonly peakFraction: number | null })[];
  /** Of `bench --suite size`: what a page downloads with each library, in bytes. */
  readonly bundle?: Readonly<Record<string, { readonly does: string; readonly raw: number; readonly gzip: number; readonly brotli: number } | { readonly error: string }>>;
  /** Of `bench --suite first`: each contender in a fresh process or page. */
  readonly first?: readonly { readonly case: string; readonly contender: string; readonly firstMs?: number; readonly medianMs?: number; readonly memoryBytes?: number; readonly error?: string }[];
}

/** Checks that `value`, parsed JSON of what `source` names, is a result of `bench --json`. */
export function resultFile(value: unknown, source: string): ResultFile {
  const lacks = (what: string): Error => new Error(`${source}: expected a result of the benchmark (bench --json), got ${what}`);
  if (!isObject(value)) throw lacks("JSON of another kind");
  for (const key of ["adapter", "versions", "rivalFlags", "ceilings", "limits"]) if (!isObject(value[key])) throw lacks(`none of its "${key}"`);
  for (const key of ["where", "commit", "date"]) if (typeof value[key] !== "string") throw lacks(`none of its "${key}"`);
  const cases = value["cases"];
  if (!Array.isArray(cases)) throw lacks(`none of its "cases"`);
  for (const c of cases as readonly unknown[]) {
    if (!isObject(c) || typeof c["name"] !== "string") throw lacks("a case without a name");
    for (const key of ["ours", "rivals", "ratio", "paired"]) if (!isObject(c[key])) throw lacks(`case "${c["name"]}" without "${key}"`);
    for (const t of [c["ours"], ...Object.values(c["rivals"] as object)]) {
      if (!isObject(t) || (typeof t["medianMs"] !== "number" && typeof t["error"] !== "string")) throw lacks(`case "${c["name"]}" with a contender that has neither a time nor an error`);
    }
  }
  return { absent: {}, ...value } as unknown as ResultFile;
}

/** Adapter, place and commit: results that share them are of one build on one machine. */
export const sourceOf = ({ adapter: a, where, commit }: ResultFile): string =>
  `${[a.vendor, a.architecture, a.device, a.description].filter(Boolean).join(" ")} in ${where}, commit ${commit}`;

/**
 * One result of several of the same adapter, place and commit, with other cases each. The ceilings are the highest seen,
 * and every share of them is taken anew; the date is the latest. A rival is absent only where it was in all of them.
 */
export function mergeResults(results: readonly ResultFile[]): ResultFile {
  const [first, ...rest] = results;
  if (!first) throw new Error("merge: expected at least one result, got none");
  for (const other of rest) if (sourceOf(other) !== sourceOf(first)) throw new Error(`merge: expected results of ${sourceOf(first)}, got one of ${sourceOf(other)}`);
  const cases = results.flatMap((r) => r.cases);
  const twice = cases.find((c, i) => cases.findIndex((other) => other.name === c.name) < i);
  if (twice) throw new Error(`merge: expected every case once, got "${twice.name}" twice`);
  const rivalFlags = union(results.map((r) => r.rivalFlags), "flags");
  const ceilings: Ceilings = { copyGBps: Math.max(...results.map((r) => r.ceilings.copyGBps)), fmaGFlops: Math.max(...results.map((r) => r.ceilings.fmaGFlops)) };
  const bundle = results.findLast((r) => r.bundle)?.bundle;
  const firsts = results.flatMap((r) => r.first ?? []);
  return {
    where: first.where, adapter: first.adapter,
    seconds: results.reduce((sum, r) => sum + (r.seconds ?? 0), 0),
    commit: first.commit, date: results.map((r) => r.date).sort().at(-1)!,
    versions: union(results.map((r) => r.versions), "version"), rivalFlags,
    absent: Object.fromEntries(results.flatMap((r) => Object.entries(r.absent)).filter(([name]) => !(name in rivalFlags))),
    limits: first.limits, ceilings,
    cases: cases.map((c) => ({ ...c, peakFraction: "error" in c.ours ? null : peakFraction(ceilings, c.flops, c.bytes, c.ours.medianMs) })),
    ...(bundle ? { bundle } : {}), ...(firsts.length > 0 ? { first: firsts } : {}),
  };
}

/** All entries; one name has one value. */
function union<T>(records: readonly Readonly<Record<string, T>>[], what: string): Record<string, T> {
  const all: Record<string, T> = {};
  for (const [name, value] of records.flatMap((r) => Object.entries(r))) {
    if (name in all && JSON.stringify(all[name]) !== JSON.stringify(value)) throw new Error(`merge: expected one ${what} of ${name}, got ${JSON.stringify(all[name])} and ${JSON.stringify(value)}`);
    all[name] = value;
  }
  return all;
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);

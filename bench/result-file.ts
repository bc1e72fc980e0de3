/** A result file of the benchmark, and one out of several: the suites of a machine measured one after another. */
import * as z from "zod/mini";
import { adapterName } from "../engine/device.ts";
import { schemaFault } from "../models/schema-fault.ts";
import { quote, shown } from "../models/shown.ts";
import { peakFraction, type Ceilings } from "./ceilings.ts";
import type { Limits, Measured } from "./run.ts";
import type { Sustained } from "./sustained.ts";

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
  readonly bundle?: Readonly<
    Record<
      string,
      { readonly does: string; readonly raw: number; readonly gzip: number; readonly brotli: number } | { readonly error: string }
    >
  >;
  /** Of `bench --suite first`: each contender in a fresh process or page. */
  readonly first?: readonly {
    readonly case: string;
    readonly contender: string;
    readonly firstMs?: number;
    readonly medianMs?: number;
    readonly memoryBytes?: number;
    readonly error?: string;
  }[];
  /** Cases that were chosen and not run, and why it ended before them. */
  readonly notRun?: readonly string[];
  readonly stopped?: string;
  /** What a page knows of the browser it ran in. Isolated from other sites it has a fine clock and threads. */
  readonly browser?: { readonly userAgent: string; readonly isolated: boolean; readonly cores: number };
  /** Of the page's sustained mode, which measures no other cases. */
  readonly sustained?: Sustained;
  /** Of bench/gpu: what was to be reached there; `got` null: not measured. */
  readonly targets?: readonly {
    readonly what: string;
    readonly least: number;
    readonly aim: number;
    readonly unit: string;
    readonly got: number | null;
    readonly note?: string;
  }[];
  /** Of bench/gpu: PyTorch's training and inference on the same machine, in a process of its own. */
  readonly torch?: {
    readonly version: string;
    readonly device: string;
    readonly runs: readonly {
      readonly mode: string;
      readonly size: string;
      readonly kind: string;
      readonly compiled: boolean;
      readonly batch?: number;
      readonly imagesPerSecond?: number;
      readonly error?: string;
    }[];
  } | null;
}

/** A result by its file's name. */
export interface NamedResult {
  readonly name: string;
  readonly result: ResultFile;
}

const positive = z.number().check(z.positive());
const text = z.string();
const list = <T extends z.core.$ZodType>(of: T) => z.optional(z.array(of));
const numbers = z.optional(z.number());

const timing = z.looseObject({
  ...{ medianMs: positive, minMs: positive, maxMs: positive, q1Ms: positive, q3Ms: positive, runs: positive, runsPerSample: positive },
  ...{ firstMs: z.number(), drift: z.number(), gpuMs: numbers, launches: numbers, threadMs: numbers, memoryBytes: numbers },
  error: z.optional(z.never()),
});
const contender = z.union([timing, z.looseObject({ error: text })], "expected times, or an error");

const measured = z.looseObject({
  ...{ name: text, suite: text, flops: z.number(), bytes: z.number(), tolerance: z.number(), toleranceReason: z.optional(text) },
  ours: contender,
  rivals: z.record(z.string(), contender),
  ratio: z.record(z.string(), positive),
  paired: z.record(z.string(), z.looseObject({ ratio: positive, low: positive, high: positive })),
  difference: z.nullable(z.number()),
  peakFraction: z.nullable(z.number()),
});

const schema = z.looseObject({
  adapter: z.looseObject({
    ...{ vendor: text, architecture: text, device: text, description: text, software: z.boolean() },
    ...{ features: z.array(text), toggles: z.array(text) },
  }),
  ...{ where: text, commit: text, date: text, seconds: numbers },
  versions: z.record(z.string(), text),
  rivalFlags: z.record(z.string(), z.record(z.string(), z.unknown())),
  absent: z._default(z.record(z.string(), text), {}),
  limits: z.looseObject({ samples: z.number(), seconds: z.number(), atMostSeconds: z.number(), sampleMs: z.number() }),
  ceilings: z.looseObject({ copyGBps: positive, fmaGFlops: positive }),
  cases: z.array(measured),
  bundle: z.optional(
    z.record(
      z.string(),
      z.union([z.looseObject({ error: text }), z.looseObject({ does: text, raw: z.number(), gzip: z.number(), brotli: z.number() })]),
    ),
  ),
  first: list(
    z.looseObject({ case: text, contender: text, firstMs: numbers, medianMs: numbers, memoryBytes: numbers, error: z.optional(text) }),
  ),
  notRun: list(text),
  stopped: z.optional(text),
  browser: z.optional(z.looseObject({ userAgent: text, isolated: z.boolean(), cores: z.number() })),
  sustained: z.optional(
    z.looseObject({
      ...{ case: text, imagesPerRun: positive, seconds: positive, stopped: z.optional(text) },
      windows: z.array(z.looseObject({ seconds: positive, imagesPerSecond: positive })).check(z.minLength(1)),
      knee: z.nullable(z.looseObject({ seconds: positive, before: positive, after: positive })),
    }),
  ),
  targets: list(
    z.looseObject({
      ...{ what: text, least: z.number(), aim: z.number(), unit: text, got: z.nullable(z.number()), note: z.optional(text) },
    }),
  ),
  torch: z.nullish(
    z.looseObject({
      version: text,
      device: text,
      runs: z.array(
        z.looseObject({
          ...{ mode: text, size: text, kind: text, compiled: z.boolean() },
          ...{ batch: numbers, imagesPerSecond: numbers, error: z.optional(text) },
        }),
      ),
    }),
  ),
});

/** Checks that `value`, parsed JSON of what `source` names, is a result of `bench --json`, with all that a report reads. */
export function resultFile(value: unknown, source: string): ResultFile {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data as unknown as ResultFile;
  throw new Error(`${shown(source)}: no result of the benchmark (bench --json): ${schemaFault(parsed.error, value, "content")}`);
}

/**
 * Results of parsed files, in their order. What `bench --suite size` and `--suite first` wrote are no results but go with
 * them: sizes with every one of their commit, first runs with the first of their adapter, place and commit.
 */
export function readResults(files: readonly { readonly name: string; readonly content: unknown }[]): NamedResult[] {
  const isBeside = (content: unknown): content is Partial<ResultFile> =>
    isObject(content) && !("cases" in content) && ("bundle" in content || "first" in content);
  let results = files
    .filter((f) => !isBeside(f.content))
    .map(({ name, content }): NamedResult => ({ name, result: resultFile(content, name) }));
  for (const { name, content } of files) {
    if (!isBeside(content)) continue;
    const { bundle, first, commit, where, adapter } = content;
    const fits = ({ result: r }: NamedResult): boolean =>
      (commit ?? r.commit) === r.commit &&
      (!first || (where === r.where && adapter !== undefined && adapterName(adapter) === adapterName(r.adapter)));
    const at = results.findIndex(fits);
    if (at === -1)
      throw new Error(
        `${name}: expected a result with cases beside it${commit === undefined ? "" : `, of commit ${commit}`}${first ? `, of the same adapter in ${where}` : ""}, got none`,
      );
    results = results.map((r, i) => ({
      ...r,
      result: resultFile(
        {
          ...r.result,
          ...(bundle && fits(r) ? { bundle } : {}),
          ...(first && i === at ? { first: [...(r.result.first ?? []), ...first] } : {}),
        },
        name,
      ),
    }));
  }
  return results;
}

/** Adapter, place and commit: results that share them are of one build on one machine. */
export const sourceOf = ({ adapter: a, where, commit }: Pick<ResultFile, "adapter" | "where" | "commit">): string =>
  `${adapterName(a)} in ${where}, commit ${commit}`;

/**
 * One result of several of the same adapter, place and commit, with other cases each. The ceilings are the highest seen,
 * and every share of them is taken anew; the date is the latest. A rival is absent only where it was in all of them.
 */
export function mergeResults(results: readonly ResultFile[]): ResultFile {
  const [first, ...rest] = results;
  if (!first) throw new Error("merge: expected at least one result, got none");
  for (const other of rest)
    if (sourceOf(other) !== sourceOf(first))
      throw new Error(`merge: expected results of ${shown(sourceOf(first))}, got one of ${shown(sourceOf(other))}`);
  const cases = results.flatMap((r) => r.cases);
  const twice = cases.find((c, i) => cases.findIndex((other) => other.name === c.name) < i);
  if (twice) throw new Error(`merge: expected every case once, got ${quote(twice.name)} twice`);
  const rivalFlags = union(
    results.map((r) => r.rivalFlags),
    "flags",
  );
  const ceilings: Ceilings = {
    copyGBps: Math.max(...results.map((r) => r.ceilings.copyGBps)),
    fmaGFlops: Math.max(...results.map((r) => r.ceilings.fmaGFlops)),
  };
  const bundle = results.findLast((r) => r.bundle)?.bundle;
  const measured = new Set(cases.map((c) => c.name));
  const notRun = results.flatMap((r) => r.notRun ?? []).filter((name, i, all) => !measured.has(name) && all.indexOf(name) === i);
  const sustained = results.find((r) => r.sustained)?.sustained;
  const firsts = results.flatMap((r) => r.first ?? []);
  return {
    where: first.where,
    adapter: first.adapter,
    seconds: results.reduce((sum, r) => sum + (r.seconds ?? 0), 0),
    commit: first.commit,
    date: results
      .map((r) => r.date)
      .sort()
      .at(-1)!,
    versions: union(
      results.map((r) => r.versions),
      "version",
    ),
    rivalFlags,
    absent: Object.fromEntries(results.flatMap((r) => Object.entries(r.absent)).filter(([name]) => !(name in rivalFlags))),
    limits: first.limits,
    ceilings,
    cases: cases.map((c) => ({ ...c, peakFraction: "error" in c.ours ? null : peakFraction(ceilings, c.flops, c.bytes, c.ours.medianMs) })),
    ...(bundle ? { bundle } : {}),
    ...(firsts.length > 0 ? { first: firsts } : {}),
    ...(sustained ? { sustained } : {}),
    ...(notRun.length > 0 ? { notRun, stopped: results.findLast((r) => r.stopped !== undefined)?.stopped ?? "stopped" } : {}),
    ...(first.browser ? { browser: first.browser } : {}),
  };
}

/** All entries; one name has one value. */
function union<T>(records: readonly Readonly<Record<string, T>>[], what: string): Record<string, T> {
  const all: Record<string, T> = {};
  for (const [name, value] of records.flatMap((r) => Object.entries(r))) {
    if (name in all && JSON.stringify(all[name]) !== JSON.stringify(value))
      throw new Error(`merge: expected one ${what} of ${shown(name)}, got ${JSON.stringify(all[name])} and ${JSON.stringify(value)}`);
    all[name] = value;
  }
  return all;
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);

/** What `tessera bench` prints. */
import type { BenchResult } from "../../bench/session.ts";
import type { Comparison } from "../../bench/compare.ts";
import type { Failure, Timing } from "../../bench/run.ts";

const ms = (t: Timing | Failure | undefined): string =>
  !t ? "-" : "error" in t ? "failed" : `${t.medianMs.toPrecision(3)}${t.drifted ? "~" : ""}`;

/** Columns padded to their widest cell, the first one to the left. */
function align(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  return rows
    .map((row) =>
      row
        .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

export function benchTable({ cases, rivalFlags, absent, ceilings, adapter }: BenchResult): string {
  const names = Object.keys(rivalFlags);
  const header = [
    "case",
    "ours ms",
    "GPU ms",
    "thread ms",
    "launches",
    ...names.flatMap((name) => [`${name} ms`, "ratio", "(95 %)"]),
    "GFLOP/s",
    "GB/s",
    "of peak",
    "samples",
    "difference",
  ];
  const rows = cases.map((c) => [
    c.name,
    ms(c.ours),
    "error" in c.ours ? "" : (c.ours.gpuMs?.toPrecision(3) ?? "-"),
    "error" in c.ours ? "" : (c.ours.threadMs?.toPrecision(2) ?? "-"),
    "error" in c.ours ? "" : String(c.ours.launches ?? "-"),
    ...names.flatMap((name) => [
      ms(c.rivals[name]),
      c.paired[name]?.ratio.toFixed(2) ?? "-",
      c.paired[name] ? `${c.paired[name].low.toFixed(2)}-${c.paired[name].high.toFixed(2)}` : "",
    ]),
    c.gflops?.toPrecision(3) ?? "",
    c.gbps?.toPrecision(3) ?? "",
    c.peakFraction === null ? "" : `${Math.round(100 * c.peakFraction)} %`,
    "error" in c.ours ? "" : String(c.ours.runs),
    c.difference?.toExponential(1) ?? "",
  ]);
  const failures = cases.flatMap((c) =>
    Object.entries({ ours: c.ours, ...c.rivals }).flatMap(([who, t]) =>
      "error" in t ? [{ name: c.name, why: `${who}: ${t.error}` }] : [],
    ),
  );
  const reasons = new Map<string, string[]>();
  for (const { name, why } of failures) reasons.set(why, [...(reasons.get(why) ?? []), name]);
  const drifts = cases.some((c) => [c.ours, ...Object.values(c.rivals)].some((t) => !("error" in t) && t.drifted));
  return [
    `ratio: the rival's time over ours, the median over pairs of neighbouring samples: above 1 we are faster; the adapter's ceilings: ${ceilings.fmaGFlops} GFLOP/s, ${ceilings.copyGBps} GB/s`,
    ...(adapter.software ? ["a SOFTWARE adapter, on the processor: none of this says anything of a GPU"] : []),
    align([header, ...rows]),
    ...(drifts ? ["~ its times drifted: the two halves of its samples differ by more than their spread"] : []),
    ...[...reasons].map(([why, of]) => `${why}: ${of.length === 1 ? of[0]! : `${of.length} cases, from ${of[0]!} to ${of.at(-1)!}`}`),
    ...Object.entries(absent).map(([name, why]) => `${name}: did not start: ${why}`),
  ].join("\n");
}

export function comparisonTable({ changes, lost, overall, regressions }: Comparison): string {
  const rows = changes.map((c) => [
    c.name,
    c.rival,
    c.before.toFixed(2),
    c.after.toFixed(2),
    `${c.change < 1 ? "" : "+"}${(100 * (c.change - 1)).toFixed(1)} %`,
    `${(100 * c.noise).toFixed(1)} %`,
    c.verdict,
  ]);
  const noisy = changes.filter((c) => c.verdict === "too noisy").length;
  return [
    align([["case", "against", "before", "after", "change", "noise", ""], ...rows]),
    ...lost,
    `overall ${overall.toFixed(3)} of before, over ${changes.length} cases${noisy > 0 ? `; ${noisy} too noisy to tell` : ""}`,
    regressions.length === 0 ? "no regression" : `slower than before: ${regressions.length}`,
  ].join("\n");
}

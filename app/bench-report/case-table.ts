/** Every case with every contender's figures, as tables. */
import type { ResultFile } from "../../bench/result-file.ts";
import { OURS, timed, timingOf, titleOf, type CaseResult } from "./contenders.ts";
import { count, figure, range, table, type Cell } from "./dom.ts";

interface Row {
  readonly c: CaseResult;
  readonly who: string;
}

/** `explained` is called with the case whose name is pressed. */
export function caseTable({ cases }: ResultFile, contenders: readonly string[], explained: (name: string) => void): HTMLElement {
  const rows = cases.flatMap((c) => contenders.filter((who) => who === OURS || timed(c.rivals[who])).map((who): Row => ({ c, who })));
  const of = (
    title: string,
    about: string,
    value: (t: NonNullable<ReturnType<typeof timingOf>>, row: Row) => Cell | number | null | undefined,
  ) => ({
    title,
    about,
    cell: (row: Row) => {
      const t = timingOf(row.c, row.who);
      return t ? value(t, row) : null;
    },
  });
  const mine = (row: Row, value: number | null): number | null => (row.who === OURS && timed(row.c.ours) ? value : null);
  return table(
    "cases",
    `${count(cases.length, "case")}. Press a header to sort, a name to have its figure explained; times in milliseconds, of one run.`,
    [
      {
        title: "Case",
        cell: ({ c, who }) => ({ text: c.name, title: c.suite, ...(who === OURS ? { press: () => explained(c.name) } : {}) }),
      },
      { title: "Suite", cell: ({ c }) => c.suite },
      { title: "Who", cell: ({ who }) => ({ text: who, title: titleOf(who) }) },
      {
        title: "Median",
        about: "Wall time of one run, median of the samples",
        cell: ({ c, who }) => {
          const t = who === OURS ? c.ours : c.rivals[who]!;
          return timed(t) ? { text: figure(t.medianMs), value: t.medianMs } : { text: "failed", title: t.error, class: "failed" };
        },
      },
      of("Quartiles", "A quarter of the samples below, a quarter above", (t) => ({ text: range(t.q1Ms, t.q3Ms), value: t.q1Ms })),
      of("Least–most", "Of all samples", (t) => ({ text: range(t.minMs, t.maxMs), value: t.minMs })),
      of("Ratio", "This contender's time over ours, median over neighbouring samples", (_t, { c, who }) => c.paired[who]?.ratio),
      of(
        "95 %",
        "Range that holds the median of the ratio in 95 of 100 measurements; of fewer than five samples all that was seen",
        (_t, { c, who }) => {
          const p = c.paired[who];
          return p && { text: range(p.low, p.high), value: p.low };
        },
      ),
      of("GPU ms", "By the GPU's own clock, launches only", (t) => t.gpuMs),
      of("Thread ms", "What a run keeps the JavaScript thread busy", (t) => t.threadMs),
      of("Launches", "Kernels in one run", (t) => (t.launches === undefined ? null : { text: String(t.launches), value: t.launches })),
      of("First ms", "From nothing to the first result: upload, pipelines, first run", (t) => t.firstMs),
      of("MiB", "On the device for this case, by the library's own account", (t) =>
        t.memoryBytes === undefined ? null : t.memoryBytes / 2 ** 20,
      ),
      of("GFLOP/s", "Two for each multiply-add", (t, { c }) => (c.flops > 0 ? c.flops / t.medianMs / 1e6 : null)),
      of("GB/s", "Every array once per pass", (t, { c }) => (c.bytes > 0 ? c.bytes / t.medianMs / 1e6 : null)),
      {
        title: "Of peak",
        about: "Share of what the adapter could do at best",
        cell: (row) => {
          const p = mine(row, row.c.peakFraction);
          return p === null ? null : { text: `${(100 * p).toPrecision(2)} %`, value: p };
        },
      },
      of("Samples", "Samples, and runs bundled into each", (t) => ({ text: `${t.runs} of ${t.runsPerSample}`, value: t.runs })),
      of("Drift", "The second half's median over the first's; ~ where that is more than the spread", (t) => ({
        text: `${t.drift.toFixed(2)}${t.drifted ? "~" : ""}`,
        value: t.drift,
      })),
      {
        title: "Difference",
        about: "Largest relative difference of ours from any rival",
        cell: (row) => {
          const d = mine(row, row.c.difference);
          return d === null
            ? null
            : {
                text: d === 0 ? "0" : d.toExponential(1),
                value: d,
                title: `at most ${row.c.tolerance.toExponential(0)}: ${row.c.toleranceReason}`,
              };
        },
      },
    ],
    rows,
  );
}

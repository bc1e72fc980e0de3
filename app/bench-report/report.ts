/** The benchmark's report: charts and tables of one result, or of two beside each other. Built in a page, from nothing but results. */
import type { NamedResult, ResultFile } from "../../bench/result-file.ts";
import { geometricMean } from "../../bench/stats.ts";
import { dotOf, ratioChart, roofline, scalingChart } from "./charts.ts";
import { comparison } from "./comparison.ts";
import { fewSamples, OURS, rivalsOf, timed, timingOf, titleOf, type Case } from "./contenders.ts";
import { chart, count, el, figure, range, table, times, type Cell } from "./dom.ts";
import { families } from "./families.ts";
import { targets, torch } from "./gpu-run.ts";

const SUITES = { kernels: "Kernels", inference: "Inference", train: "Training steps", scaling: "Scaling" } as const;

const adapterOf = ({ adapter: a }: ResultFile): string =>
  a.description || [a.vendor, a.architecture, a.device].filter(Boolean).join(" ") || "an adapter without a name";
const placeOf = ({ where }: ResultFile): string => ({ node: "Node", chromium: "headless Chromium", browser: "a browser" })[where] ?? where;
const labelOf = ({ name, result }: NamedResult): string =>
  `${name}: ${adapterOf(result)}, ${placeOf(result)}, ${result.commit}, ${result.date.slice(0, 10)}`;

/** Fills `root` with the report of the first result; with several, the reader picks which, and which beside it. Returns what tells the one that is shown. */
export function showReport(root: HTMLElement, results: readonly NamedResult[]): () => NamedResult {
  const body = el("div");
  const pick = (id: string, title: string, none: string | null, chosen: number): HTMLSelectElement => {
    const select = el(
      "select",
      { id },
      none !== null && el("option", { value: -1 }, none),
      results.map((r, i) => el("option", { value: i, selected: i === chosen }, labelOf(r))),
    );
    picks.append(el("label", { for: id }, title, select));
    select.addEventListener("change", draw);
    return select;
  };
  const picks = el("div", { class: "picks" });
  let shown: HTMLSelectElement | null = null,
    beside: HTMLSelectElement | null = null;
  const showing = (): NamedResult => results[Number(shown?.value ?? 0)]!;
  const draw = (): void => {
    const result = showing(),
      other = results[Number(beside?.value ?? -1)];
    body.replaceChildren(...(other && other !== result ? [comparison(other, result, adapterOf, placeOf)] : []), ...sections(result.result));
  };
  if (results.length > 1) {
    shown = pick("shown", "Result", null, 0);
    beside = pick("beside", "Compared with", "none", -1);
  }
  draw();
  root.replaceChildren(...(results.length > 1 ? [picks] : []), body);
  return showing;
}

const section = (title: string, ...children: (Node | string | null | false)[]): HTMLElement => {
  const id = title.toLowerCase().replaceAll(/\W+/g, "-");
  return el("section", { "aria-labelledby": id }, el("h2", { id }, title), children);
};

function sections(result: ResultFile): HTMLElement[] {
  const rivals = rivalsOf(result);
  const hidden = new Set<string>();
  const charts = el("div"),
    cases = el("div");
  const contenders = (): string[] => [OURS, ...rivals].filter((name) => !hidden.has(name));
  const draw = (): void => {
    charts.replaceChildren(...chartSections(result, contenders()));
    cases.replaceChildren(caseTable(result, contenders()));
  };
  const key = el(
    "fieldset",
    { class: "key" },
    el("legend", null, "Shown"),
    [OURS, ...rivals].map((name) => {
      const box = el("input", { type: "checkbox", checked: true, disabled: name === OURS });
      box.addEventListener("change", () => {
        if (box.checked) hidden.delete(name);
        else hidden.add(name);
        draw();
      });
      return el(
        "label",
        null,
        box,
        dotOf(name),
        el("span", null, titleOf(name), onProcessor(result, name) && el("small", null, ", on the processor, not the adapter")),
      );
    }),
  );
  draw();
  return [
    lead(result),
    ...(rivals.length > 0 ? [summary(result, rivals), key] : []),
    charts,
    section("Every figure", cases),
    ...[failures(result), ...gpuRun(result), beside(result)].filter((s) => s !== null),
    setUp(result),
  ];
}

/** Whether a rival computes beside the adapter, whose roof is not its own. */
const onProcessor = ({ rivalFlags }: ResultFile, rival: string): boolean => rivalFlags[rival]?.["on"] === "processor";

function lead(result: ResultFile): HTMLElement {
  const { adapter, commit, date } = result;
  return el(
    "header",
    { class: "lead" },
    el(
      "p",
      null,
      el("strong", null, adapterOf(result)),
      ` in ${placeOf(result)}, commit `,
      el("code", null, commit),
      `, ${date.slice(0, 16).replace("T", " ")} UTC`,
    ),
    adapter.software &&
      el(
        "p",
        { class: "software" },
        el("strong", null, "Software adapter."),
        " The processor plays the GPU: none of these figures says anything of a GPU.",
      ),
  );
}

function summary(result: ResultFile, rivals: readonly string[]): HTMLElement {
  const suites = (Object.keys(SUITES) as (keyof typeof SUITES)[]).filter((s) => result.cases.some((c) => c.suite === s));
  const cell = (suite: string | null, rival: string): Cell | null => {
    const of = result.cases.filter((c) => suite === null || c.suite === suite);
    const ratios = of.flatMap((c) => c.paired[rival]?.ratio ?? []);
    if (ratios.length === 0) return null;
    const settled = of.filter((c) => !fewSamples(c, rival)).flatMap((c) => c.paired[rival] ?? []);
    const faster = settled.filter((p) => p.low > 1).length,
      slower = settled.filter((p) => p.high < 1).length;
    return { text: `${times(geometricMean(ratios))} (${faster}/${slower}/${ratios.length})`, value: geometricMean(ratios) };
  };
  return section(
    "Summary",
    el(
      "p",
      { class: "note" },
      "How many times longer the rival takes: geometric mean over the cases, above 1 ours is faster. In brackets: cases in which ours is faster, in which the rival is faster, beyond the 95 % range each and with five samples at least, and all that were compared.",
    ),
    table(
      "summary",
      "Rival's time over ours, by suite",
      [
        { title: "Rival", cell: (rival: string) => titleOf(rival) },
        ...suites.map((s) => ({ title: SUITES[s], cell: (rival: string) => cell(s, rival) })),
        ...(suites.length > 1 ? [{ title: "All", cell: (rival: string) => cell(null, rival) }] : []),
      ],
      rivals,
    ),
  );
}

function chartSections(result: ResultFile, contenders: readonly string[]): HTMLElement[] {
  const rivals = contenders.filter((name) => name !== OURS);
  const ratios = Object.entries(SUITES).flatMap(([suite, title]) => {
    const of = result.cases.filter((c) => c.suite === suite && rivals.some((r) => c.paired[r]));
    return of.length === 0
      ? []
      : [
          chart(
            title,
            `${count(of.length, "case")}. Dot: median of the ratio over neighbouring samples; line: range that holds it in 95 of 100 measurements.${of.some((c) => rivals.some((r) => fewSamples(c, r))) ? " Pale: fewer than five samples, the line is then all that was seen." : ""}`,
            (width) => ratioChart(of, rivals, width),
          ),
        ];
  });
  const counted = result.cases.filter((c) => c.flops > 0 && c.bytes > 0 && timed(c.ours));
  const { ceilings } = result;
  const roof =
    counted.length === 0
      ? []
      : [
          section(
            "Roofline",
            chart(
              "",
              `${count(counted.length, "case")} with both arithmetic and memory counted; of whole models only arithmetic is. The roof was measured in the same run: ${figure(ceilings.fmaGFlops)} GFLOP/s by multiply-adds in registers, ${figure(ceilings.copyGBps)} GB/s by a copy. What fits a cache may lie above.`,
              (width) =>
                roofline(
                  counted,
                  contenders.filter((name) => !onProcessor(result, name)),
                  ceilings,
                  width,
                ),
            ),
          ),
        ];
  const grown = families(result.cases);
  return [
    ...(ratios.length > 0
      ? [
          section(
            "Ratios",
            el(
              "p",
              { class: "note" },
              "The rival's time over ours, logarithmic: right of the line ours is faster. A case is timed only if the results agree.",
            ),
            ...ratios,
          ),
        ]
      : []),
    ...roof,
    ...(grown.length > 0
      ? [
          section(
            "Scaling",
            el(
              "div",
              { class: "charts" },
              grown.map((f) =>
                chart(f.title, `${f.unit} by ${f.by}, both logarithmic; ${f.unit === "ms" ? "lower" : "higher"} is faster.`, (width) =>
                  scalingChart(f, contenders, width),
                ),
              ),
            ),
          ),
        ]
      : []),
  ];
}

interface Row {
  readonly c: Case;
  readonly who: string;
}

function caseTable({ cases }: ResultFile, contenders: readonly string[]): HTMLElement {
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
    `${count(cases.length, "case")}. Press a header to sort; times in milliseconds, of one run.`,
    [
      { title: "Case", cell: ({ c }) => ({ text: c.name, title: c.suite }) },
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

function failures({ cases, absent, notRun = [], stopped }: ResultFile): HTMLElement | null {
  const reasons = new Map<string, { who: string; why: string; names: string[] }>();
  for (const c of cases)
    for (const [who, t] of Object.entries({ [OURS]: c.ours, ...c.rivals })) {
      if (timed(t)) continue;
      const at = `${who}: ${t.error}`,
        known = reasons.get(at);
      if (known) known.names.push(c.name);
      else reasons.set(at, { who, why: t.error, names: [c.name] });
    }
  const rows = [
    ...reasons.values(),
    ...Object.entries(absent).map(([who, why]) => ({ who, why: `did not start: ${why}`, names: [] as string[] })),
  ];
  if (rows.length === 0 && notRun.length === 0) return null;
  const ended =
    notRun.length > 0 &&
    el(
      "p",
      { id: "not-run" },
      el("strong", null, `${count(notRun.length, "case")} not run`),
      `: ${stopped ?? "its time was over"}. ${notRun.join(", ")}`,
    );
  return section(
    "Not measured",
    ended,
    rows.length === 0
      ? null
      : table(
          "failures",
          "Who could not, or whose result differs, and why",
          [
            { title: "Who", cell: (r) => titleOf(r.who) },
            { title: "Reason", cell: (r) => ({ text: r.why, class: "words" }) },
            {
              title: "Cases",
              cell: (r) => ({ text: r.names.length === 0 ? "all" : String(r.names.length), value: r.names.length || cases.length }),
            },
            {
              title: "Which",
              cell: (r) => ({
                text:
                  r.names.length === 0
                    ? "all"
                    : r.names.length > 4
                      ? `${r.names.slice(0, 3).join(", ")} … ${r.names.at(-1)!}`
                      : r.names.join(", "),
                title: r.names.join(", "),
                class: "words",
              }),
            },
          ],
          rows,
        ),
  );
}

/** What bench/gpu puts into its files besides cases. */
const gpuRun = (result: ResultFile): (HTMLElement | null)[] => [
  result.targets ? section("Targets", targets(result.targets)) : null,
  result.torch ? section("PyTorch", torch(result.torch, result.cases)) : null,
];

/** Bundles, and first runs in a fresh process or page, where the file has them. */
function beside({ bundle, first }: ResultFile): HTMLElement | null {
  if (!bundle && !first) return null;
  const kib = (n: number): Cell => ({ text: `${figure(n / 1024)}`, value: n });
  return section(
    "Download and first run",
    bundle
      ? table(
          "bundle",
          "What a page downloads with the smallest app, in KiB",
          [
            { title: "App", cell: ([name]) => name },
            { title: "Does", cell: ([, s]) => ({ text: "error" in s ? s.error : s.does, class: "words" }) },
            { title: "As it is", cell: ([, s]) => ("error" in s ? null : kib(s.raw)) },
            { title: "gzip", cell: ([, s]) => ("error" in s ? null : kib(s.gzip)) },
            { title: "brotli", cell: ([, s]) => ("error" in s ? null : kib(s.brotli)) },
          ],
          Object.entries(bundle),
        )
      : null,
    first
      ? table(
          "first",
          "From nothing to the first result, each contender in a process or page of its own, in milliseconds",
          [
            { title: "Case", cell: (r) => r.case },
            { title: "Who", cell: (r) => titleOf(r.contender) },
            { title: "First", cell: (r) => (r.error ? { text: "failed", title: r.error, class: "failed" } : r.firstMs) },
            { title: "Then", cell: (r) => r.medianMs },
            { title: "MiB", cell: (r) => (r.memoryBytes === undefined ? null : r.memoryBytes / 2 ** 20) },
          ],
          first,
        )
      : null,
  );
}

function setUp(result: ResultFile): HTMLElement {
  const { adapter: a, ceilings, limits, versions, rivalFlags } = result;
  const list = (pairs: readonly (readonly [string, string])[]): HTMLElement =>
    el(
      "dl",
      null,
      pairs.map(([k, v]) => [el("dt", null, k), el("dd", null, v || "–")]),
    );
  const flags = Object.entries(rivalFlags).flatMap(([who, f]) =>
    Object.entries(f).map(([name, value]) => ({ who, name, value: typeof value === "string" ? value : JSON.stringify(value) })),
  );
  return section(
    "Set-up",
    list([
      ["Adapter", [a.vendor, a.architecture, a.device, a.description].filter(Boolean).join(", ")],
      ["Kind", a.software ? "software, on the processor" : "GPU"],
      ["Features", a.features.join(", ")],
      ["Toggles", a.toggles.length > 0 ? a.toggles.join(", ") : "none"],
      ["Ceilings", `${figure(ceilings.fmaGFlops)} GFLOP/s (f32 multiply-adds), ${figure(ceilings.copyGBps)} GB/s (copy, read and written)`],
      ["Where", placeOf(result)],
      ...(result.browser
        ? [
            [
              "Browser",
              `${result.browser.userAgent}; ${count(result.browser.cores, "thread")}; ${result.browser.isolated ? "isolated: a fine clock" : "not isolated: a coarse clock, WebAssembly in one thread"}`,
            ] as const,
          ]
        : []),
      ["Commit", result.commit],
      ["Date", result.date],
      [
        "Versions",
        Object.entries(versions)
          .map(([n, v]) => `${n} ${v}`)
          .join(", "),
      ],
      [
        "Samples",
        `${limits.samples} of each contender, at least ${limits.sampleMs} ms each, taking turns; at most ${limits.atMostSeconds} s a case`,
      ],
      ...(result.seconds === undefined ? [] : [["Took", `${figure(result.seconds / 60)} minutes`] as const]),
    ]),
    flags.length > 0
      ? table(
          "flags",
          "Rivals' settings",
          [
            { title: "Rival", cell: (f) => titleOf(f.who) },
            { title: "Setting", cell: (f) => ({ text: f.name, class: "words" }) },
            { title: "Value", cell: (f) => ({ text: f.value, class: "words" }) },
          ],
          flags,
        )
      : null,
  );
}

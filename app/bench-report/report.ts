/** The benchmark's report: charts and tables of one result, or of two beside each other. Built in a page, from nothing but results. */
import type { NamedResult, ResultFile } from "../../bench/result-file.ts";
import { geometricMean } from "../../bench/stats.ts";
import { explanations } from "./explain.ts";
import { dotOf, ratioChart, roofline, scalingChart } from "./charts.ts";
import { comparison } from "./comparison.ts";
import { caseTable } from "./case-table.ts";
import { fewSamples, OURS, rivalsOf, timed, titleOf } from "./contenders.ts";
import { chart, count, el, figure, section, table, times, type Cell } from "./dom.ts";
import { families } from "./families.ts";
import { targets, torch } from "./gpu-run.ts";
import { notMeasured } from "./not-measured.ts";
import { scores, type References } from "./scores.ts";
import { beside, placeOf, setUp } from "./set-up.ts";
import { SUITES } from "./suites.ts";
import { sustainedSection } from "./sustained.ts";

const adapterOf = ({ adapter: a }: ResultFile): string =>
  a.description || [a.vendor, a.architecture, a.device].filter(Boolean).join(" ") || "an adapter without a name";
const labelOf = ({ name, result }: NamedResult): string =>
  `${name}: ${adapterOf(result)}, ${placeOf(result)}, ${result.commit}, ${result.date.slice(0, 10)}`;

/** What a report can lead to where it is shown. */
export interface Around {
  /** Results to score this one beside. */
  readonly references?: References;
  /** The address where a case's kernels can be changed; null where they cannot. */
  readonly lab?: (caseName: string) => string | null;
}

/**
 * Fills `root` with the report of the first result; with several, the reader picks the result and the one to compare it with. Returns a
 * function that gives the result shown.
 */
export function showReport(root: HTMLElement, results: readonly NamedResult[], around: Around = {}): () => NamedResult {
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
    body.replaceChildren(
      ...(other && other !== result ? [comparison(other, result, adapterOf, placeOf)] : []),
      ...sections(result.result, around),
    );
  };
  if (results.length > 1) {
    shown = pick("shown", "Result", null, 0);
    beside = pick("beside", "Compared with", "none", -1);
  }
  draw();
  root.replaceChildren(...(results.length > 1 ? [picks] : []), body);
  return showing;
}

function sections(result: ResultFile, { references, lab = () => null }: Around): HTMLElement[] {
  const explained = result.cases.length > 0 ? explanations(result, lab) : null;
  const rivals = rivalsOf(result);
  const hidden = new Set<string>();
  const charts = el("div"),
    cases = el("div");
  const contenders = (): string[] => [OURS, ...rivals].filter((name) => !hidden.has(name));
  const draw = (): void => {
    charts.replaceChildren(...chartSections(result, contenders()));
    cases.replaceChildren(caseTable(result, contenders(), (name) => explained?.show(name)));
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
    ...(result.sustained ? [sustainedSection(result.sustained)] : []),
    ...(references && explained ? [scores(result, references)] : []),
    ...(rivals.length > 0 ? [summary(result, rivals), key] : []),
    charts,
    ...(explained ? [section("Every figure", cases), section("A figure explained", explained.element)] : []),
    ...[notMeasured(result), ...gpuRun(result), beside(result)].filter((s) => s !== null),
    setUp(result),
  ];
}

/** Whether a rival runs on the CPU instead of the adapter, so that the adapter's roofline does not apply to it. */
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

/** The fields besides `cases` in files of bench/gpu. */
const gpuRun = (result: ResultFile): (HTMLElement | null)[] => [
  result.targets ? section("Targets", targets(result.targets)) : null,
  result.torch ? section("PyTorch", torch(result.torch, result.cases)) : null,
];

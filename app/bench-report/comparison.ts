/** Two results beside each other: two commits on one kind of adapter, judged; or two machines, side by side. */
import { compare, kindOf, type Comparison } from "../../bench/compare.ts";
import type { NamedResult, ResultFile } from "../../bench/result-file.ts";
import { geometricMean } from "../../bench/stats.ts";
import { changeChart } from "./charts.ts";
import { OURS, rivalsOf, timingOf, titleOf } from "./contenders.ts";
import { chart, el, figure, table, times } from "./dom.ts";

type Named = (result: ResultFile) => string;

export function comparison(before: NamedResult, after: NamedResult, adapterOf: Named, placeOf: Named): HTMLElement {
  const frame = (...children: (Node | null)[]): HTMLElement =>
    el(
      "section",
      { "aria-labelledby": "comparison" },
      el("h2", { id: "comparison" }, "Comparison"),
      el(
        "p",
        { class: "note" },
        `Before: ${before.name}, commit ${before.result.commit}, ${adapterOf(before.result)} in ${placeOf(before.result)}. After: ${after.name}, commit ${after.result.commit}, ${adapterOf(after.result)} in ${placeOf(after.result)}.`,
      ),
      children,
    );
  const said = (text: string): HTMLElement => el("p", { class: "verdict" }, text);
  if (kindOf(before.result) !== kindOf(after.result))
    return frame(said("Two kinds of adapter: no verdict, the figures side by side."), machines(before, after));
  let c: Comparison;
  try {
    c = compare(before.result, after.result);
  } catch (error) {
    return frame(said((error as Error).message), machines(before, after));
  }
  return frame(...judged(c, said));
}

function judged({ changes, lost, overall, regressions }: Comparison, said: (text: string) => HTMLElement): HTMLElement[] {
  const count = (verdict: string): number => changes.filter((c) => c.verdict === verdict).length;
  return [
    said(
      `${regressions.length === 0 ? "No regression" : `${regressions.length} ${regressions.length === 1 ? "regression" : "regressions"}`}: ${count("slower")} slower, ${count("faster")} faster, ${count("same")} the same, ${count("too noisy")} too noisy to tell${lost.length > 0 ? `, ${lost.length} no longer measured` : ""}. Overall ${times(overall)} of before.`,
    ),
    el(
      "p",
      { class: "note" },
      "Ratios to a rival are compared, for it took turns with ours: times of two runs are of two different days. A case is slower where its whole range lies below the earlier one's and its median fell by more than the noise of both.",
    ),
    ...(changes.length === 0
      ? []
      : [
          chart("Change of the ratio", "After over before, with what of it may be noise.", (width) => changeChart(changes, width)),
          table(
            "changes",
            "Ratios before and after",
            [
              { title: "Case", cell: (r) => r.name },
              { title: "Against", cell: (r) => r.rival },
              { title: "Before", cell: (r) => r.before },
              { title: "After", cell: (r) => r.after },
              {
                title: "Change",
                cell: (r) => ({ text: `${r.change < 1 ? "−" : "+"}${Math.abs(100 * (r.change - 1)).toFixed(1)} %`, value: r.change }),
              },
              { title: "Noise", cell: (r) => ({ text: `${(100 * r.noise).toFixed(1)} %`, value: r.noise }) },
              { title: "Verdict", cell: (r) => ({ text: r.verdict, class: `verdict-${r.verdict.replace(" ", "-")}` }) },
            ],
            changes,
          ),
        ]),
    ...(lost.length === 0
      ? []
      : [
          el(
            "ul",
            { id: "lost" },
            lost.map((l) => el("li", null, l)),
          ),
        ]),
  ];
}

function machines(before: NamedResult, after: NamedResult): HTMLElement {
  const old = new Map(before.result.cases.map((c) => [c.name, c]));
  const rows = after.result.cases.flatMap((c) => (old.has(c.name) ? [{ name: c.name, was: old.get(c.name)!, is: c }] : []));
  if (rows.length === 0) return el("p", { class: "note" }, "They have no case in common.");
  const rivals = rivalsOf(after.result).filter((r) => rivalsOf(before.result).includes(r));
  const faster = rows.flatMap(({ was, is }) => {
    const [a, b] = [timingOf(was, OURS), timingOf(is, OURS)];
    return a && b ? a.medianMs / b.medianMs : [];
  });
  return el(
    "div",
    null,
    faster.length > 0 &&
      el(
        "p",
        null,
        `Ours is ${times(geometricMean(faster))} as fast in the second as in the first, geometric mean of ${faster.length} cases.`,
      ),
    table(
      "machines",
      "Our times in milliseconds, and ratios to each rival that both have",
      [
        { title: "Case", cell: (r) => r.name },
        { title: "Ours before", cell: (r) => timingOf(r.was, OURS)?.medianMs },
        { title: "Ours after", cell: (r) => timingOf(r.is, OURS)?.medianMs },
        {
          title: "Before / after",
          cell: (r) => {
            const [a, b] = [timingOf(r.was, OURS), timingOf(r.is, OURS)];
            return a && b ? { text: times(a.medianMs / b.medianMs), value: a.medianMs / b.medianMs } : null;
          },
        },
        ...rivals.flatMap((rival) =>
          (["was", "is"] as const).map((side) => ({
            title: `${rival} ${side === "was" ? "before" : "after"}`,
            about: `${titleOf(rival)}: its time over ours`,
            cell: (r: (typeof rows)[number]) => {
              const p = r[side].paired[rival];
              return p && { text: figure(p.ratio), value: p.ratio };
            },
          })),
        ),
      ],
      rows,
    ),
  );
}

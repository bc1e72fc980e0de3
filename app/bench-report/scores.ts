/** A score for each suite beside a reference that the reader picks by name. */
import { adapterName } from "../../engine/device.ts";
import type { NamedResult, ResultFile } from "../../bench/result-file.ts";
import { scoreOf, type Score } from "../../bench/score.ts";
import { count, el, figure, range, section, table } from "./dom.ts";
import { placeOf } from "./set-up.ts";
import { SUITES } from "./suites.ts";

/** Gives the results that can be references; rejects where they cannot be had. */
export type References = () => Promise<readonly NamedResult[]>;

/** Fills itself once the references are there. Of all the one with the most cases in common is chosen at first. */
export function scores(result: ResultFile, references: References): HTMLElement {
  const place = el("div", null, el("p", { class: "note" }, "Reading the references …"));
  references()
    .then((all) => place.replaceChildren(...chooser(result, all)))
    .catch((error: unknown) =>
      place.replaceChildren(el("p", { class: "note" }, `The references cannot be read: ${(error as Error).message}`)),
    );
  return section("Score", place);
}

function chooser(result: ResultFile, all: readonly NamedResult[]): HTMLElement[] {
  const common = (r: NamedResult): number => scoreOf(result, r.result, null)?.cases ?? 0;
  const usable = all.filter((r) => common(r) > 0 && r.result.date !== result.date).sort((a, b) => common(b) - common(a));
  if (usable.length === 0)
    return [el("p", null, "None: no reference has a case of this result. A GPU and a software adapter are measured with different cases.")];
  const select = el(
    "select",
    { name: "reference" },
    usable.map(({ name }, i) => el("option", { value: i }, name)),
  );
  const body = el("div");
  const draw = (): void => body.replaceChildren(...scored(result, usable[Number(select.value)]!));
  select.addEventListener("change", draw);
  draw();
  return [el("div", { class: "picks" }, el("label", null, "Reference", select)), body];
}

function scored(result: ResultFile, { name, result: reference }: NamedResult): HTMLElement[] {
  const rows = [...(Object.keys(SUITES) as (keyof typeof SUITES)[]), null].flatMap((suite) => {
    const score = scoreOf(result, reference, suite);
    return score ? [{ title: suite ? SUITES[suite] : "All", score }] : [];
  });
  const few = rows.at(-1)!.score.fewSamples;
  return [
    el(
      "p",
      { class: "note" },
      `100 is ${name}: ${adapterName(reference.adapter)}${reference.adapter.software ? " (software)" : ""} in ${placeOf(reference)}, ${reference.date.slice(0, 10)}. 200 is twice as fast. Geometric mean over the cases that both have; the range is of the samples' spread, and another sitting of the same machine can lie outside of it.${few > 0 ? ` ${count(few, "case")} of these with fewer than five samples: there the range is too narrow.` : ""}`,
    ),
    table(
      "scores",
      `Score beside ${name}`,
      [
        { title: "Suite", cell: (r: { title: string; score: Score }) => r.title },
        { title: "Score", cell: ({ score: s }) => ({ text: figure(s.score), value: s.score }) },
        { title: "95 %", cell: ({ score: s }) => ({ text: range(s.low, s.high), value: s.low }) },
        { title: "Cases", cell: ({ score: s }) => ({ text: String(s.cases), value: s.cases }) },
      ],
      rows,
    ),
  ];
}

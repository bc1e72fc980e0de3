/** What a sustained run is of, and how long; its chart grows while it runs. */
import { chosenCases } from "../../bench/cases.ts";
import type { Adapter } from "../../bench/benchmark.ts";
import type { ResultFile } from "../../bench/result-file.ts";
import { imagesOf, type SustainedArgs } from "../../bench/sustained.ts";
import { el } from "../bench-report/dom.ts";
import { sustainedSection } from "../bench-report/sustained.ts";

export interface Asked extends Pick<SustainedArgs, "case" | "seconds"> {
  readonly imagesPerRun: number;
}

export interface SustainedForm {
  readonly element: HTMLElement;
  /** Offers the models that such an adapter can afford. */
  offer(adapter: Adapter): void;
  /** Draws the run so far; null takes it away. */
  live(result: ResultFile | null): void;
  enable(may: boolean): void;
}

const MINUTES = 10;

export function sustainedForm(onStart: (asked: Asked) => void): SustainedForm {
  const model = el("select", { name: "model" });
  const minutes = el("input", { name: "minutes", type: "number", min: 0.5, max: 600, step: 0.5, value: MINUTES, required: true });
  const start = el("button", { type: "submit", id: "sustain", disabled: true }, "Measure over minutes");
  const chart = el("div", { id: "live" });
  const form = el(
    "form",
    { id: "sustained" },
    el("h2", null, "Does it keep its speed?"),
    el(
      "p",
      { class: "note" },
      "One model over minutes, images per second every ten seconds: phones and laptops slow down once they are hot.",
    ),
    el("div", { class: "choices" }, el("label", null, "Model", model), el("label", null, "Minutes", minutes)),
    el("div", { class: "buttons" }, start),
  );
  let offered: ReturnType<typeof chosenCases> = [];
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const c = offered.find(({ name }) => name === model.value)!;
    onStart({ case: c.name, seconds: 60 * Number(minutes.value), imagesPerRun: imagesOf(c)! });
  });
  return {
    element: el("div", null, form, chart),
    offer(adapter) {
      const before = model.value;
      offered = chosenCases(adapter, { suite: "all", quick: false, only: "" })
        .filter((c) => imagesOf(c) !== null && c.suite !== "scaling")
        .sort((a, b) => Number(b.suite === "train") - Number(a.suite === "train"));
      model.replaceChildren(...offered.map(({ name }) => el("option", { value: name, selected: name === before }, name)));
    },
    live: (result) => chart.replaceChildren(...(result?.sustained ? [sustainedSection(result.sustained)] : [])),
    enable: (may) => void (start.disabled = !may || offered.length === 0),
  };
}

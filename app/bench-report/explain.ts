/** Where a case's figure comes from. Says only what was measured or counted, and plainly where it was not. */
import type { ResultFile } from "../../bench/result-file.ts";
import type { Timing } from "../../bench/run.ts";
import { timed, type CaseResult } from "./contenders.ts";
import { count, el, figure, range } from "./dom.ts";

/** Lines of an explanation: what, and the text. */
export type Explanation = readonly (readonly [string, string])[];

export function explain(c: CaseResult, ceilings: ResultFile["ceilings"]): Explanation {
  const t = c.ours;
  if (!timed(t)) return [["Time", `not measured: ${t.error}`]];
  return [
    [
      "Time",
      `${figure(t.medianMs)} ms a run, median of ${count(t.runs, "sample")} of ${count(t.runsPerSample, "run")}; a quarter below ${figure(t.q1Ms)} ms, a quarter above ${figure(t.q3Ms)} ms.`,
    ],
    ["Launches", t.launches === undefined ? "not counted in this result." : `${count(t.launches, "kernel")} in one run, counted.`],
    [
      "Arithmetic",
      c.flops > 0
        ? `${scaled(c.flops, "FLOP")} by the shapes, two for each multiply-add; that makes ${figure(c.flops / t.medianMs / 1e6)} GFLOP/s.`
        : "not counted: this case is bound by memory.",
    ],
    [
      "Memory",
      c.bytes > 0
        ? `${scaled(c.bytes, "B")} by the shapes, every array once per pass; that makes ${figure(c.bytes / t.medianMs / 1e6)} GB/s. What caches saved or repeated is not measured.`
        : "not counted: of whole models only arithmetic is.",
    ],
    ["Share of the roofline", roofline(c, t, ceilings)],
    ["On the GPU", onGpu(t)],
    [
      "JavaScript",
      t.threadMs === undefined
        ? "not measured."
        : `the thread is busy for ${figure(t.threadMs)} ms a run, measured while the GPU was idle.`,
    ],
    ["First run", `${figure(t.firstMs)} ms from nothing: upload, pipelines, the first result.`],
    [
      "Memory held",
      t.memoryBytes === undefined ? "not counted." : `${scaled(t.memoryBytes, "B")} on the device, by the library's own account.`,
    ],
  ];
}

function roofline(c: CaseResult, { medianMs }: Timing, { copyGBps, fmaGFlops }: ResultFile["ceilings"]): string {
  if (c.flops === 0 && c.bytes === 0) return "not told: no work is counted.";
  const byArithmetic = c.flops / fmaGFlops / 1e6,
    byMemory = c.bytes / copyGBps / 1e6;
  const least = Math.max(byArithmetic, byMemory);
  const limit =
    byArithmetic >= byMemory
      ? `its arithmetic at ${figure(fmaGFlops)} GFLOP/s${c.bytes > 0 ? "" : " (memory is not counted)"}`
      : `its memory at ${figure(copyGBps)} GB/s`;
  const share = least / medianMs;
  const beyond = share > 1 ? " More than all: what fits a cache moves faster than the copy that was measured." : "";
  return `${figure(100 * share)} %: ${figure(least)} ms is what the adapter needs at best, bound by ${limit}, as measured in the same sitting.${beyond}`;
}

function onGpu({ medianMs, gpuMs }: Timing): string {
  if (gpuMs === undefined)
    return "not measured, so the time outside of kernels is not known: there is no GPU clock here (timestamp-query), or the run has too many launches for it.";
  const outside = medianMs - gpuMs;
  const inside = `${figure(gpuMs)} ms in kernels by the GPU's own clock, each launch in a pass of its own`;
  return outside > 0
    ? `${inside}; ${figure(outside)} ms (${((100 * outside) / medianMs).toFixed(0)} %) outside of them: submitting, waiting, and gaps between launches.`
    : `${inside}, no less than a whole run takes (${range(gpuMs, medianMs)} ms): the time outside of kernels is too little to be told.`;
}

const UNITS = ["", "k", "M", "G", "T"] as const;

function scaled(value: number, unit: string): string {
  const power = Math.min(UNITS.length - 1, Math.max(0, Math.floor(Math.log10(value) / 3)));
  return `${figure(value / 1000 ** power)} ${UNITS[power]}${unit}`;
}

/** Lets the reader choose a case. `lab` gives the address at which a case's operation can be changed, null where it has none. */
export function explanations(
  { cases, ceilings }: ResultFile,
  lab: (name: string) => string | null,
): { readonly element: HTMLElement; show(name: string): void } {
  const select = el(
    "select",
    { name: "explained" },
    cases.map(({ name }) => el("option", { value: name }, name)),
  );
  const body = el("div", { "aria-live": "polite" });
  const draw = (): void => {
    const c = cases.find(({ name }) => name === select.value)!;
    const address = lab(c.name);
    body.replaceChildren(
      el(
        "dl",
        null,
        explain(c, ceilings).map(([what, text]) => [el("dt", null, what), el("dd", null, text)]),
      ),
      address ? el("p", null, el("a", { href: address }, "Change its kernels in the lab, at this shape")) : "",
    );
  };
  select.addEventListener("change", draw);
  draw();
  return {
    element: el("div", null, el("div", { class: "picks" }, el("label", null, "Case", select)), body),
    show(name) {
      select.value = name;
      draw();
      select.focus({ preventScroll: true });
      select.scrollIntoView({ block: "center" });
    },
  };
}

/** Speed over minutes, with the knee where it fell for good. */
import * as Plot from "@observablehq/plot";
import { WINDOW_SECONDS, type Sustained } from "../../bench/sustained.ts";
import { chart, count, el, figure, section } from "./dom.ts";

const minutes = (seconds: number): string => `${Math.floor(Math.round(seconds) / 60)}:${String(Math.round(seconds) % 60).padStart(2, "0")}`;
/** As the search for a knee needs them. */
const ENOUGH = 6;

export function sustainedSection(sustained: Sustained): HTMLElement {
  const { windows, knee, stopped, seconds, case: name } = sustained;
  const least = Math.min(...windows.map((w) => w.imagesPerSecond)),
    most = Math.max(...windows.map((w) => w.imagesPerSecond));
  const verdict = knee
    ? `From ${figure(knee.before)} to ${figure(knee.after)} images/s (${change(knee.before, knee.after)}) at ${minutes(knee.seconds)}.`
    : windows.length < ENOUGH
      ? "Too short to tell whether it slows down: that takes a minute at least."
      : `No knee: between ${figure(least)} and ${figure(most)} images/s, no fall that lasts and is more than the noise.`;
  const ended = stopped === undefined ? "" : ` Ended before the ${minutes(seconds)} asked for: ${stopped}.`;
  return section(
    "Sustained",
    el("p", { class: "verdict" }, verdict),
    el(
      "p",
      { class: "note" },
      `${name}, ${count(windows.length, "window")} of ${WINDOW_SECONDS} s or the next whole run, ${minutes(windows.at(-1)!.seconds)} in all.${ended}`,
    ),
    chart("Images per second", knee ? `The line marks the knee, at ${minutes(knee.seconds)}.` : "By minutes since the start.", (width) =>
      speedChart(sustained, width),
    ),
  );
}

const change = (before: number, after: number): string => `${(100 * (after / before - 1)).toFixed(0)} %`.replace("-", "−");

function speedChart({ windows, knee, seconds }: Sustained, width: number): Element {
  const points = windows.map((w) => ({ minutes: w.seconds / 60, rate: w.imagesPerSecond }));
  const x1 = Math.max(seconds, windows.at(-1)!.seconds) / 60;
  const line = { stroke: "var(--soft)", strokeDasharray: "4 4" } as const;
  return Plot.plot({
    width,
    height: 260,
    marginLeft: 56,
    marginRight: 16,
    marginTop: 26,
    marginBottom: 40,
    style: { fontSize: "12px", fontFamily: "inherit", background: "none", color: "var(--soft)", overflow: "visible" },
    x: { domain: [0, x1], label: "minutes", labelAnchor: "center", labelArrow: "none" },
    y: { domain: [0, 1.1 * Math.max(...points.map((p) => p.rate))], label: "images/s", labelArrow: "none", grid: true },
    marks: [
      Plot.ruleY([0], { stroke: "var(--line)" }),
      ...(knee
        ? [
            Plot.ruleX([knee.seconds / 60], { stroke: "var(--slower)", strokeWidth: 1.5 }),
            Plot.ruleY([knee], { y: "before", x1: 0, x2: knee.seconds / 60, ...line }),
            Plot.ruleY([knee], { y: "after", x1: knee.seconds / 60, x2: windows.at(-1)!.seconds / 60, ...line }),
          ]
        : []),
      Plot.line(points, { x: "minutes", y: "rate", stroke: "var(--ours)", strokeWidth: 2 }),
      Plot.dot(points, { x: "minutes", y: "rate", fill: "var(--ours)", r: 2.5 }),
      Plot.tip(
        points,
        Plot.pointerX({
          x: "minutes",
          y: "rate",
          title: (p) => `${minutes(60 * p.minutes)}\n${figure(p.rate)} images/s`,
          fill: "var(--page)",
          stroke: "var(--line)",
        }),
      ),
    ],
  });
}

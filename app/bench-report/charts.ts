/** The charts of the benchmark's report. Each is drawn for a width; colours come from the style sheet. */
import * as Plot from "@observablehq/plot";
import type { Comparison } from "../../bench/compare.ts";
import type { Ceilings } from "../../bench/ceilings.ts";
import { colorOf, fewSamples, OURS, symbolOf, timingOf, titleOf, type CaseResult } from "./contenders.ts";
import { figure, times } from "./dom.ts";
import type { Family } from "./families.ts";

const STYLE = { fontSize: "12px", fontFamily: "inherit", background: "none", color: "var(--soft)", overflow: "visible" } as const;
const NARROW = 640;
/** Width of the longest of these, in pixels. */
function widest(texts: readonly string[]): number {
  const pen = document.createElement("canvas").getContext("2d")!;
  pen.font = `${STYLE.fontSize} ${getComputedStyle(document.body).fontFamily}`;
  return Math.max(...texts.map((text) => pen.measureText(text).width));
}
const HALO = { stroke: "var(--page)", strokeWidth: 4 } as const;

/** Round tick values of a logarithmic axis, spaced so that their labels do not overlap. */
function logTicks(low: number, high: number, width: number): number[] {
  const decades = Math.log10(high / low);
  const room = width / Math.max(decades, 0.3);
  const steps = room > 260 ? [1, 1.5, 2, 3, 5, 7] : room > 110 ? [1, 2, 5] : room > 70 ? [1, 3] : [1];
  const ticks: number[] = [];
  for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++)
    for (const s of steps) ticks.push(Number((s * 10 ** e).toPrecision(2)));
  return ticks.filter((t) => t >= low * 0.999 && t <= high * 1.001);
}
const plain = (x: number): string => (x >= 1e4 ? `${(x / 1e3).toLocaleString("en")}k` : String(Number(x.toPrecision(2))));
/** Every tick with its number, as `text`: of a format, Plot leaves some of a logarithmic axis out. */
const numbered = { text: plain, tickSize: 0, labelArrow: "none" } as const;
const factor = (x: number): string => `${plain(x)}×`;

/** Factors of cases: a list downwards, names on the left or, where that leaves no room, above each row; 1 is a line. */
function rows(names: readonly string[], height: number, { low, high }: { low: number; high: number }, said: string, width: number) {
  const room = 14 + Math.ceil(widest(names));
  const narrow = width < NARROW || room > 0.45 * width;
  const each = height + (narrow ? 17 : 0),
    marginLeft = narrow ? 6 : room,
    marginRight = 14;
  const ticks = logTicks(low, high, width - marginLeft - marginRight);
  const shown = { y: (d: string) => d, text: (d: string) => d, fill: "var(--text)", frameAnchor: "left" } as const;
  // A long list has the numbers above it too.
  const axes = names.length > 12 ? (["top", "bottom"] as const) : (["bottom"] as const);
  const marginTop = axes.length > 1 ? 24 : 8,
    marginBottom = 44;
  return {
    // The dots of a row lie below its name where that is above them.
    dy: narrow ? 8 : 0,
    options: {
      width,
      height: names.length * each + marginTop + marginBottom,
      marginLeft,
      marginRight,
      marginTop,
      marginBottom,
      style: STYLE,
      x: { type: "log", domain: [low, high], axis: null },
      y: { type: "band", domain: names, axis: null, padding: 0 },
    } satisfies Plot.PlotOptions,
    marks: [
      ...axes.map((anchor) =>
        Plot.axisX(ticks, {
          ...numbered,
          text: factor,
          anchor,
          label: anchor === "bottom" ? said : null,
          labelAnchor: "center",
          labelOffset: 38,
        }),
      ),
      Plot.gridX(ticks, { stroke: "var(--line)", strokeOpacity: 1 }),
      Plot.ruleY(names, { y: (d) => d, stroke: "var(--line)", strokeWidth: 1, dy: each / 2 }),
      Plot.ruleX([1], { stroke: "var(--text)", strokeWidth: 1.5 }),
      narrow ? Plot.text(names, { ...shown, ...HALO, dy: 10 - each / 2 }) : Plot.text(names, { ...shown, textAnchor: "end", dx: -10 }),
    ],
  };
}

/** A contender's dot, for the key, where its name stands beside it. */
export function dotOf(name: string): Element {
  const dot = Plot.plot({
    width: 14,
    height: 14,
    margin: 0,
    axis: null,
    marks: [Plot.dot([name], { frameAnchor: "middle", fill: colorOf(name), symbol: symbolOf(name), r: 4.5 })],
  });
  dot.setAttribute("aria-hidden", "true");
  return dot;
}

/** Every case's ratio to every rival with the range of its median: right of the line ours is faster. */
export function ratioChart(cases: readonly CaseResult[], rivals: readonly string[], width: number): Element {
  const points = cases.flatMap((c) =>
    rivals.flatMap((rival) => (c.paired[rival] ? [{ name: c.name, rival, few: fewSamples(c, rival), ...c.paired[rival] }] : [])),
  );
  const low = Math.min(0.7, ...points.map((p) => p.low)) / 1.15,
    high = Math.max(1.5, ...points.map((p) => p.high)) * 1.15;
  const step = 5,
    { options, marks, dy } = rows(
      cases.map((c) => c.name),
      rivals.length * step + 10,
      { low, high },
      "← the rival is faster · ours is faster →",
      width,
    );
  const title = (p: (typeof points)[number]) =>
    `${p.name}\n${titleOf(p.rival)}: ${times(p.ratio)}\n95 %: ${times(p.low)} to ${times(p.high)}`;
  return Plot.plot({
    ...options,
    marks: [
      ...marks,
      ...rivals.flatMap((rival, i) => {
        const own = points.filter((p) => p.rival === rival),
          shift = dy + step * (i - (rivals.length - 1) / 2);
        return [
          Plot.ruleY(own, { y: "name", x1: "low", x2: "high", stroke: colorOf(rival), strokeWidth: 2, strokeOpacity: 0.55, dy: shift }),
          Plot.dot(own, {
            y: "name",
            x: "ratio",
            fill: colorOf(rival),
            fillOpacity: (p) => (p.few ? 0.4 : 1),
            symbol: symbolOf(rival),
            r: 3.2,
            dy: shift,
          }),
        ];
      }),
      Plot.tip(points, Plot.pointer({ x: "ratio", y: "name", title, fill: "var(--page)", stroke: "var(--line)" })),
    ],
  });
}

/** Roofline: each case's operations per byte against its operations per second, below the adapter's measured limits. */
export function roofline(
  cases: readonly CaseResult[],
  contenders: readonly string[],
  { copyGBps, fmaGFlops }: Ceilings,
  width: number,
): Element {
  const points = cases.flatMap((c) =>
    contenders.flatMap((who) => {
      const t = timingOf(c, who);
      return t && c.flops > 0 && c.bytes > 0 ? [{ name: c.name, who, intensity: c.flops / c.bytes, rate: c.flops / t.medianMs / 1e6 }] : [];
    }),
  );
  const xs = points.map((p) => p.intensity),
    ridge = fmaGFlops / copyGBps;
  const x0 = Math.min(ridge / 4, ...xs) / 1.5,
    x1 = Math.max(ridge * 4, ...xs) * 1.5;
  const y0 = Math.min(fmaGFlops / 30, ...points.map((p) => p.rate)) / 1.5,
    y1 = Math.max(fmaGFlops, ...points.map((p) => p.rate)) * 1.6;
  const roof = [
    [Math.max(x0, y0 / copyGBps), Math.max(x0, y0 / copyGBps) * copyGBps],
    [ridge, fmaGFlops],
    [x1, fmaGFlops],
  ] as const;
  const slope = Math.sqrt(roof[0][0] * ridge);
  const height = Math.min(460, Math.max(320, 0.55 * width)),
    marginLeft = 48,
    marginRight = 14;
  const spanX = width - marginLeft - marginRight,
    spanY = height - 60;
  const at = (p: { intensity: number; rate: number }) =>
    [(spanX * Math.log(p.intensity / x0)) / Math.log(x1 / x0), (spanY * Math.log(p.rate / y0)) / Math.log(y1 / y0)] as const;
  // One name for each operation, where it hits no other.
  const labels: (typeof points)[number][] = [];
  for (const p of points.filter((q) => q.who === OURS).sort((a, b) => b.rate - a.rate)) {
    const [px, py] = at(p);
    const free = labels.every(
      (l) => l.name.split(" ")[0] !== p.name.split(" ")[0] && (Math.abs(at(l)[0] - px) > 90 || Math.abs(at(l)[1] - py) > 16),
    );
    if (free && px < spanX - 80) labels.push(p);
  }
  return Plot.plot({
    width,
    height,
    marginLeft,
    marginRight,
    marginTop: 20,
    marginBottom: 40,
    style: STYLE,
    x: { type: "log", domain: [x0, x1], axis: null },
    y: { type: "log", domain: [y0, y1], axis: null },
    marks: [
      Plot.gridX(logTicks(x0, x1, spanX), { stroke: "var(--line)", strokeOpacity: 1 }),
      Plot.gridY(logTicks(y0, y1, spanY), { stroke: "var(--line)", strokeOpacity: 1 }),
      Plot.axisX(logTicks(x0, x1, spanX), { ...numbered, label: "FLOPs per byte", labelAnchor: "center" }),
      Plot.axisY(logTicks(y0, y1, spanY), { ...numbered, label: "GFLOP/s" }),
      Plot.line(roof, { stroke: "var(--text)", strokeWidth: 1.5 }),
      Plot.text([[x1, fmaGFlops]], { text: [`${figure(fmaGFlops)} GFLOP/s`], textAnchor: "end", dy: -8, dx: -2, fill: "var(--text)" }),
      Plot.text([[slope, slope * copyGBps]], {
        text: [`${figure(copyGBps)} GB/s`],
        textAnchor: "end",
        dx: -4,
        dy: -8,
        fill: "var(--text)",
        ...HALO,
      }),
      ...contenders.toReversed().map((who) =>
        Plot.dot(
          points.filter((p) => p.who === who),
          {
            x: "intensity",
            y: "rate",
            fill: colorOf(who),
            symbol: symbolOf(who),
            r: who === OURS ? 4.5 : 3,
            fillOpacity: who === OURS ? 1 : 0.75,
          },
        ),
      ),
      Plot.text(labels, {
        x: "intensity",
        y: "rate",
        text: (p) => p.name.split(" ")[0],
        textAnchor: "start",
        dx: 8,
        fill: "var(--text)",
        ...HALO,
      }),
      Plot.tip(
        points,
        Plot.pointer({
          x: "intensity",
          y: "rate",
          title: (p) => `${p.name}\n${titleOf(p.who)}: ${figure(p.rate)} GFLOP/s\n${figure(p.intensity)} FLOPs per byte`,
          fill: "var(--page)",
          stroke: "var(--line)",
        }),
      ),
    ],
  });
}

/** One family of cases that differ in one size. */
export function scalingChart({ by, unit, members, rate }: Family, contenders: readonly string[], width: number): Element {
  const points = contenders.flatMap((who) =>
    members.flatMap(({ size, of }) => {
      const t = timingOf(of, who);
      return t ? [{ who, size, value: rate(size, t.medianMs), name: of.name }] : [];
    }),
  );
  const sizes = members.map((m) => m.size),
    values = points.map((p) => p.value);
  const y0 = Math.min(...values) / 1.3,
    y1 = Math.max(...values) * 1.3,
    height = 240,
    marginLeft = 50,
    spanX = width - marginLeft - 16;
  // Labels that would overlap are left out; the grid line stays.
  const [first, last] = [sizes[0]!, sizes.at(-1)!];
  const shown = sizes.filter((s, i) => i === 0 || (spanX * Math.log(s / sizes[i - 1]!)) / Math.log(last / first) > 26);
  return Plot.plot({
    width,
    height,
    marginLeft,
    marginRight: 16,
    marginTop: 22,
    marginBottom: 38,
    style: STYLE,
    x: { type: "log", domain: [first, last], axis: null },
    y: { type: "log", domain: [y0, y1], axis: null },
    marks: [
      Plot.gridX(sizes, { stroke: "var(--line)", strokeOpacity: 1 }),
      Plot.gridY(logTicks(y0, y1, height - 60), { stroke: "var(--line)", strokeOpacity: 1 }),
      Plot.axisX(shown, { ...numbered, text: String, label: by, labelAnchor: "center" }),
      Plot.axisY(logTicks(y0, y1, height - 60), { ...numbered, label: unit }),
      ...contenders.toReversed().flatMap((who) => {
        const own = points.filter((p) => p.who === who);
        return [
          Plot.line(own, { x: "size", y: "value", stroke: colorOf(who), strokeWidth: who === OURS ? 2.5 : 1.5 }),
          Plot.dot(own, { x: "size", y: "value", fill: colorOf(who), symbol: symbolOf(who), r: who === OURS ? 4 : 3.2 }),
        ];
      }),
      Plot.tip(
        points,
        Plot.pointer({
          x: "size",
          y: "value",
          title: (p) => `${p.name}\n${titleOf(p.who)}: ${figure(p.value)} ${unit}`,
          fill: "var(--page)",
          stroke: "var(--line)",
        }),
      ),
    ],
  });
}

/** Change of each case between two results with its 95 % range; left of the line ours got slower. */
export function changeChart(changes: Comparison["changes"], width: number): Element {
  const names = [...new Set(changes.map((c) => c.name))],
    rivals = [...new Set(changes.map((c) => c.rival))];
  const points = changes.map((c) => ({
    ...c,
    low: c.change / (1 + c.noise),
    high: c.change * (1 + c.noise),
    color: `var(--${c.verdict.replace(" ", "-")})`,
  }));
  const low = Math.min(0.75, ...points.map((p) => p.low)) / 1.05,
    high = Math.max(1.33, ...points.map((p) => p.high)) * 1.05;
  const step = 6,
    { options, marks, dy } = rows(names, rivals.length * step + 10, { low, high }, "← slower than before · faster than before →", width);
  return Plot.plot({
    ...options,
    marks: [
      ...marks,
      ...rivals.flatMap((rival, i) => {
        const own = points.filter((p) => p.rival === rival),
          shift = dy + step * (i - (rivals.length - 1) / 2);
        return [
          Plot.ruleY(own, { y: "name", x1: "low", x2: "high", stroke: "color", strokeWidth: 2, strokeOpacity: 0.5, dy: shift }),
          Plot.dot(own, { y: "name", x: "change", fill: "color", symbol: symbolOf(rival), r: 3.4, dy: shift }),
        ];
      }),
      Plot.tip(
        points,
        Plot.pointer({
          x: "change",
          y: "name",
          title: (p) => `${p.name}\nagainst ${titleOf(p.rival)}: ${times(p.before)} to ${times(p.after)}\n${p.verdict}`,
          fill: "var(--page)",
          stroke: "var(--line)",
        }),
      ),
    ],
    color: { type: "identity" },
  });
}

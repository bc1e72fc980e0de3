/** Lines over a number, drawn by uPlot, which loads when the first plot is shown. */
import { useEffect, useRef } from "preact/hooks";
import type uPlot from "uplot";

export interface Line {
  readonly name: string;
  readonly colour: string;
  /** [x, y], x ascending. */
  readonly points: readonly (readonly [number, number])[];
}

function aligned(lines: readonly Line[]): uPlot.AlignedData {
  const xs = [...new Set(lines.flatMap(({ points }) => points.map(([x]) => x)))].sort((a, b) => a - b);
  const columns = lines.map(({ points }) => {
    const at = new Map(points);
    return xs.map((x) => at.get(x) ?? null);
  });
  return [xs, ...columns] as uPlot.AlignedData;
}

const HEIGHT = 240;

export function Plot({ lines, x, y }: { readonly lines: readonly Line[]; readonly x: string; readonly y: string }) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const names = lines.map(({ name, colour }) => name + colour).join();
  useEffect(() => {
    let gone = false;
    let watch: ResizeObserver | null = null;
    void Promise.all([import("uplot"), import("uplot/dist/uPlot.min.css")]).then(([{ default: UPlot }]) => {
      const { current } = place;
      if (gone || !current) return;
      const stroke = getComputedStyle(document.documentElement).color;
      const axis = { stroke, grid: { stroke: "rgba(128,128,128,0.2)" } };
      plot.current = new UPlot(
        {
          width: current.clientWidth,
          height: HEIGHT,
          scales: { x: { time: false } },
          axes: [{ ...axis, label: x }, { ...axis, label: y, size: 58 }],
          series: [{ label: x }, ...lines.map(({ name, colour }) => ({ label: name, stroke: colour, width: 2, spanGaps: true }))],
        },
        aligned(lines),
        current,
      );
      watch = new ResizeObserver(() => plot.current?.setSize({ width: current.clientWidth, height: HEIGHT }));
      watch.observe(current);
    });
    return () => {
      gone = true;
      watch?.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [names]);
  useEffect(() => plot.current?.setData(aligned(lines)));
  // The page is not kept wide by the plot that it had, when a phone is turned.
  return <div ref={place} role="img" aria-label={`${y} by ${x}`} style={{ minHeight: `${HEIGHT + 60}px`, contain: "inline-size", overflow: "hidden" }} />;
}

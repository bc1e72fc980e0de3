/** Loss by step and held-out accuracy by epoch, of this run and of earlier ones. */
import { useEffect, useRef } from "preact/hooks";
import type uPlot from "uplot";

export interface Curve {
  readonly name: string;
  readonly colour: string;
  readonly loss: readonly number[];
}

export function Curves({ curves }: { readonly curves: readonly Curve[] }) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const names = curves.map(({ name }) => name).join();
  const data = (): uPlot.AlignedData => {
    const most = Math.max(1, ...curves.map(({ loss }) => loss.length));
    return [Array.from({ length: most }, (_, i) => i + 1), ...curves.map(({ loss }) => Array.from({ length: most }, (_, i) => loss[i] ?? null))] as uPlot.AlignedData;
  };
  useEffect(() => {
    let gone = false;
    void Promise.all([import("uplot"), import("uplot/dist/uPlot.min.css")]).then(([{ default: Plot }]) => {
      if (gone || !place.current) return;
      const ink = getComputedStyle(document.documentElement).color;
      plot.current = new Plot(
        {
          width: place.current.clientWidth,
          height: 220,
          scales: { x: { time: false } },
          axes: [
            { label: "step", stroke: ink, grid: { show: false } },
            { label: "loss", stroke: ink, size: 60 },
          ],
          series: [{ label: "step" }, ...curves.map(({ name, colour }) => ({ label: name, stroke: colour, width: 2, spanGaps: true }))],
        },
        data(),
        place.current,
      );
    });
    return () => {
      gone = true;
      plot.current?.destroy();
      plot.current = null;
    };
  }, [names]);
  useEffect(() => plot.current?.setData(data()));
  return <div ref={place} class="plot" role="img" aria-label="Loss by step" style="height: 270px" />;
}

/** The text beside the shipped kernel at all sizes: a heat map of its speed, and where each size lies under the roofline. Plot loads when there is something to draw. */
import { useEffect, useRef } from "preact/hooks";
import type { ShapeTime } from "../../../jobs/lab/shapes.ts";

const STYLE = { background: "none", color: "var(--ink)", fontSize: "12px", fontFamily: "inherit", overflow: "visible" } as const;
const ROW = 26;

/** "788x192x768" as a place: the last letter to the right, the others downwards. */
const placed = (shape: ShapeTime) => {
  const at = shape.sizes.lastIndexOf("x");
  return { ...shape, right: shape.sizes.slice(at + 1), down: at < 0 ? "" : shape.sizes.slice(0, at) };
};

type PlotOf = typeof import("@observablehq/plot");

function heatMap(Plot: PlotOf, shapes: readonly ShapeTime[], width: number): Element {
  const cells = shapes.map(placed);
  const downs = [...new Set(cells.map(({ down }) => down))];
  const rights = [...new Set(cells.map(({ right }) => right))].sort((a, b) => Number(a) - Number(b));
  const place = { x: "right", y: "down" } as const;
  return Plot.plot({
    style: STYLE,
    width,
    height: downs.length * ROW + 60,
    marginLeft: 90,
    marginTop: 34,
    x: { domain: rights, label: "last axis", axis: "top", tickSize: 0 },
    y: { domain: downs, label: "other axes", tickSize: 0 },
    color: { type: "diverging-log", scheme: "BrBG", domain: [0.5, 2], pivot: 1, clamp: true },
    marks: [
      Plot.cell(cells, { ...place, fill: ({ time }: ShapeTime) => time.ratio, inset: 1, rx: 3, title: says }),
      Plot.text(cells, {
        ...place,
        text: ({ time }: ShapeTime) => `${time.ratio.toFixed(2)}${time.verdict === "not told apart" ? "" : time.verdict === "faster" ? " ▲" : " ▼"}`,
        fill: ({ time }: ShapeTime) => (time.ratio < 0.62 || time.ratio > 1.6 ? "white" : "black"),
      }),
    ],
  });
}

const says = ({ sizes, time, roofline }: ShapeTime): string =>
  `${sizes}: ${time.ms} ms, shipped ${time.shippedMs} ms, ${time.ratio} times its speed (${time.ratioRange.join(" to ")}): ${time.verdict}; ${(100 * roofline.fraction).toFixed(0)} % of what ${roofline.boundBy} allows`;

/** Work per byte to the right, work per second upwards; operations that count no work stand at their bytes alone. */
function rooflineChart(Plot: PlotOf, shapes: readonly ShapeTime[], width: number): Element {
  const { copyGBps, fmaGFlops } = shapes.at(-1)!.roofline.ceilings;
  const counted = shapes.every(({ roofline }) => roofline.gflops !== null);
  const axes = { x: { type: "log", grid: true }, y: { type: "log", grid: true } } as const;
  const common = { style: STYLE, width, height: 240, marginLeft: 60 };
  const dot = { fill: "var(--accent)", r: 4, title: says } as const;
  if (!counted)
    return Plot.plot({
      ...common,
      x: { ...axes.x, label: "bytes of a launch" },
      y: { ...axes.y, label: "GB/s" },
      marks: [
        Plot.ruleY([copyGBps], { stroke: "var(--warm)", strokeWidth: 2 }),
        Plot.text([copyGBps], { y: (d: number) => d, text: () => `copying: ${copyGBps} GB/s`, frameAnchor: "left", dy: -8, dx: 6, textAnchor: "start" }),
        Plot.dot(shapes, { ...dot, x: ({ roofline }: ShapeTime) => roofline.bytes, y: ({ roofline }: ShapeTime) => roofline.gbps }),
      ],
    });
  const intensity = ({ roofline }: ShapeTime) => roofline.flops! / roofline.bytes;
  const ridge = fmaGFlops / copyGBps;
  const ends = [Math.min(ridge, ...shapes.map(intensity)) / 2, ridge, 2 * Math.max(ridge, ...shapes.map(intensity))];
  return Plot.plot({
    ...common,
    x: { ...axes.x, label: "flops per byte" },
    y: { ...axes.y, label: "GFLOP/s" },
    marks: [
      Plot.line(ends, { x: (d: number) => d, y: (d: number) => Math.min(fmaGFlops, d * copyGBps), stroke: "var(--warm)", strokeWidth: 2 }),
      Plot.dot(shapes, { ...dot, x: intensity, y: ({ roofline }: ShapeTime) => roofline.gflops! }),
    ],
  });
}

export function ShapesView({ shapes }: { readonly shapes: readonly ShapeTime[] }) {
  const map = useRef<HTMLDivElement>(null);
  const roof = useRef<HTMLDivElement>(null);
  useEffect(() => {
    let gone = false;
    let watch: ResizeObserver | null = null;
    void import("@observablehq/plot").then((Plot) => {
      const [above, below] = [map.current, roof.current];
      if (gone || !above || !below) return;
      const draw = () => {
        const width = above.clientWidth;
        above.replaceChildren(heatMap(Plot, shapes, width));
        below.replaceChildren(rooflineChart(Plot, shapes, width));
      };
      watch = new ResizeObserver(draw);
      watch.observe(above);
    });
    return () => {
      gone = true;
      watch?.disconnect();
    };
  }, [shapes]);
  return (
    <section class="card lab-shapes" style="margin-top: 1rem" aria-label="At all sizes" data-shapes={shapes.length}>
      <h2>At all sizes</h2>
      <p class="note">Times the shipped kernel's speed, at the sizes of DeiT's models and at those that are timed anyway; ▲ faster and ▼ slower where told apart.</p>
      <div ref={map} role="img" aria-label={`Speed by size: ${shapes.map(({ sizes, time }) => `${sizes} ${time.ratio}`).join(", ")}`} />
      <h2>Under the roofline</h2>
      <div ref={roof} role="img" aria-label={`Of what this machine allows: ${shapes.map(({ sizes, roofline }) => `${sizes} ${(100 * roofline.fraction).toFixed(0)} %`).join(", ")}`} />
    </section>
  );
}

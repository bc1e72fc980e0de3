/** Where a step's time goes: each launch of one step on the GPU's clock, a lane for each kernel that takes most. */
import { useEffect, useRef } from "preact/hooks";
import type uPlot from "uplot";
import type { StepProfile } from "./messages.ts";

/** Lanes; the kernels that take least share the last one. */
const LANES = 9;
const OTHERS = "others";

interface Lane {
  readonly name: string;
  readonly launches: number;
  readonly ms: number;
}

/** Kernels by the time of all their launches, most first. */
export function lanesOf({ launches }: StepProfile): Lane[] {
  const sums = new Map<string, Lane>();
  for (const [name, , ms] of launches) {
    const before = sums.get(name) ?? { name, launches: 0, ms: 0 };
    sums.set(name, { name, launches: before.launches + 1, ms: before.ms + ms });
  }
  const lanes = [...sums.values()].sort((a, b) => b.ms - a.ms);
  if (lanes.length <= LANES) return lanes;
  const rest = lanes.splice(LANES - 1);
  return [...lanes, { name: OTHERS, launches: rest.reduce((n, l) => n + l.launches, 0), ms: rest.reduce((sum, l) => sum + l.ms, 0) }];
}

/** From the first launch's begin to the last one's end. */
const lengthOf = ({ launches }: StepProfile): number => Math.max(...launches.map(([, start, ms]) => start + ms));

export function Timeline({ profile, timed }: { readonly profile: StepProfile | null; readonly timed: boolean | null }) {
  const lanes = profile ? lanesOf(profile) : [];
  const inside = lanes.reduce((sum, { ms }) => sum + ms, 0);
  return (
    <section class="card" style="margin-top: 1rem" aria-label="Where a step's time goes">
      <h2>Where a step's time goes</h2>
      {profile ? (
        <>
          <p class="note">
            Step {profile.step}, launch by launch on the GPU's own clock: {profile.launches.length} launches, {inside.toFixed(1)} ms in kernels of{" "}
            {lengthOf(profile).toFixed(1)} ms from the first one's begin to the last one's end.
          </p>
          <Lanes profile={profile} lanes={lanes} />
          <div class="scroll" tabIndex={0} role="region" aria-label="Kernels of a step">
            <table data-launches={profile.launches.length}>
              <thead>
                <tr>
                  <th scope="col">kernel</th>
                  <th scope="col">launches</th>
                  <th scope="col">ms</th>
                  <th scope="col">share</th>
                </tr>
              </thead>
              <tbody>
                {lanes.map(({ name, launches, ms }) => (
                  <tr key={name}>
                    <td>{name}</td>
                    <td>{launches}</td>
                    <td>{ms.toFixed(2)}</td>
                    <td>{((100 * ms) / inside).toFixed(0)} %</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </>
      ) : (
        <p class="note">
          {timed === false ? "Not measured: this browser or adapter has no GPU clock (timestamp-query)." : "Every twentieth step is timed; none has been yet."}
        </p>
      )}
    </section>
  );
}

/** Of a lane's name and bars, in CSS pixels. */
const LANE_HEIGHT = 40;
const BAR_HEIGHT = 14;
const AXIS_HEIGHT = 50;
/** Narrower launches could not be seen. */
const LEAST_WIDTH = 1;

/** Drawn by uPlot, which the page has for its curves: axis and scale are its own, lanes are painted onto its canvas. */
function Lanes({ profile, lanes }: { readonly profile: StepProfile; readonly lanes: readonly Lane[] }) {
  const place = useRef<HTMLDivElement>(null);
  const height = lanes.length * LANE_HEIGHT + AXIS_HEIGHT;
  useEffect(() => {
    const { current } = place;
    if (!current) return;
    let gone = false;
    let plot: uPlot | null = null;
    let watch: ResizeObserver | null = null;
    const laneOf = new Map(lanes.map(({ name }, i) => [name, i]));
    const paint = (u: uPlot): void => {
      const { ctx, bbox } = u;
      const ratio = devicePixelRatio;
      const { color } = getComputedStyle(current);
      const accent = getComputedStyle(current).getPropertyValue("accent-color");
      ctx.save();
      ctx.font = `${12 * ratio}px system-ui, sans-serif`;
      ctx.fillStyle = color;
      lanes.forEach(({ name }, i) => ctx.fillText(name, bbox.left, bbox.top + (i * LANE_HEIGHT + 14) * ratio));
      ctx.fillStyle = accent;
      for (const [kernel, start, ms] of profile.launches) {
        const lane = laneOf.get(kernel) ?? lanes.length - 1;
        const [from, to] = [u.valToPos(start, "x", true), u.valToPos(start + ms, "x", true)];
        ctx.fillRect(from, bbox.top + (lane * LANE_HEIGHT + 20) * ratio, Math.max(to - from, LEAST_WIDTH * ratio), BAR_HEIGHT * ratio);
      }
      ctx.restore();
    };
    void Promise.all([import("uplot"), import("uplot/dist/uPlot.min.css")]).then(([{ default: UPlot }]) => {
      if (gone) return;
      const length = lengthOf(profile);
      const stroke = getComputedStyle(current).color;
      plot = new UPlot(
        {
          width: current.clientWidth,
          height,
          legend: { show: false },
          cursor: { show: false },
          scales: { x: { time: false, range: [0, length] }, y: { range: [0, 1] } },
          axes: [{ stroke, grid: { stroke: "rgba(128,128,128,0.2)" }, label: "ms" }, { show: false }],
          series: [{}, { show: true, paths: () => null, points: { show: false } }],
          hooks: { draw: [paint] },
        },
        [
          [0, length],
          [0, 0],
        ],
        current,
      );
      watch = new ResizeObserver(() => plot?.setSize({ width: current.clientWidth, height }));
      watch.observe(current);
    });
    return () => {
      gone = true;
      watch?.disconnect();
      plot?.destroy();
    };
  }, [profile]);
  const label = "Launches of a step by time, a lane for each kernel; the table below has the sums";
  return <div ref={place} role="img" aria-label={label} style={{ minHeight: `${height}px`, minWidth: 0, overflow: "hidden", color: "var(--ink)", accentColor: "var(--accent)" }} />;
}

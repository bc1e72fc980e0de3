/** Where a step's time goes: each launch of one step on the GPU's clock, a lane for each kernel that takes most. */
import { useEffect, useRef } from "preact/hooks";
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

const LANE_HEIGHT = 22;
/** Narrower launches could not be seen. */
const LEAST_WIDTH = 1;

function Lanes({ profile, lanes }: { readonly profile: StepProfile; readonly lanes: readonly Lane[] }) {
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const { current } = place;
    if (!current) return;
    let gone = false;
    const named = new Set(lanes.map(({ name }) => name));
    const bars = profile.launches.map(([kernel, start, ms]) => ({ kernel, lane: named.has(kernel) ? kernel : OTHERS, start, ms }));
    const length = lengthOf(profile);
    const draw = async (): Promise<void> => {
      const Plot = await import("@observablehq/plot");
      if (gone) return;
      const width = current.clientWidth;
      const least = (LEAST_WIDTH * length) / width;
      const marginTop = 6;
      const svg = Plot.plot({
        width,
        height: lanes.length * LANE_HEIGHT * 2 + 46,
        marginTop,
        marginLeft: 6,
        marginRight: 12,
        marginBottom: 36,
        style: { fontSize: "12px", fontFamily: "inherit", background: "none", color: "var(--soft)" },
        x: { domain: [0, length], label: "ms", labelAnchor: "center", labelArrow: "none" },
        y: { type: "band", domain: lanes.map(({ name }) => name), axis: null, paddingInner: 0.5, paddingOuter: 0.25 },
        marks: [
          Plot.text(lanes, { y: "name", text: "name", frameAnchor: "left", dy: -18, fill: "var(--ink)" }),
          Plot.barX(bars, { y: "lane", x1: "start", x2: (bar: (typeof bars)[number]) => bar.start + Math.max(bar.ms, least), fill: "var(--accent)" }),
          Plot.tip(
            bars,
            Plot.pointer({ y: "lane", x: "start", title: (bar) => `${bar.kernel}\n${bar.ms.toFixed(3)} ms`, fill: "var(--card)", stroke: "var(--line)" }),
          ),
        ],
      });
      svg.setAttribute("role", "img");
      svg.setAttribute("aria-label", "Launches of a step by time, a lane for each kernel; the table below has the sums");
      current.replaceChildren(svg);
    };
    const watch = new ResizeObserver(() => void draw());
    watch.observe(current);
    return () => {
      gone = true;
      watch.disconnect();
    };
  }, [profile]);
  return <div ref={place} style={{ minHeight: `${lanes.length * LANE_HEIGHT * 2 + 46}px`, minWidth: 0, overflow: "hidden" }} />;
}

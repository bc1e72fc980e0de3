/** The charts of a table: its groups of one axis as lines over that axis, and its learning curves. */
import { COLOURS, type Chart } from "./chart.ts";
import { estimate } from "./statistics.ts";
import type { TableResult } from "./results.ts";

export function chartsOf({ groups, curves }: TableResult): Chart[] {
  const axes = [...new Set(groups.flatMap(({ at }) => (at ? [at.axis] : [])))];
  return [
    ...axes.map((axis): Chart => {
      const along = groups.filter(({ at }) => at?.axis === axis);
      const labels = [...new Set(along.flatMap(({ lines }) => lines.map(({ label }) => label)))].slice(0, COLOURS);
      return {
        title: `Test accuracy over ${axis}`,
        x: axis,
        y: "test top-1 %",
        log: true,
        lines: labels.map((label) => ({
          label,
          points: along.flatMap(({ at, lines }) => {
            const line = lines.find((l) => l.label === label);
            return line ? [{ x: at!.value, y: line.mean, error: estimate(line.values)!.error }] : [];
          }),
        })),
      };
    }),
    ...curves.map(({ title, lines }): Chart => ({ title, x: "epoch", y: "top-1 %", lines: lines.slice(0, COLOURS) })),
  ];
}

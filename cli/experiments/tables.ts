/** From runs to tables: means over seeds, and differences from the row that each group compares with. */
import type { Row, Table } from "../../train/experiments/experiment.ts";
import { tablesOf } from "../../train/experiments/suite.ts";
import { agreement } from "./agreement.ts";
import { withReasons } from "./choice.ts";
import { judgeClaims, nearerVerdict } from "./claims.ts";
import { figures, type Find } from "./figures.ts";
import type { Outcome } from "./outcome.ts";
import type { Place } from "./place.ts";
import { mirrorOf, readMirrors, type Mirror } from "./pytorch.ts";
import type { Curve, Line, LineGroup, Results, TableResult } from "./results.ts";
import { deviation, difference, mean } from "./statistics.ts";
import { teachersOf } from "./teacher.ts";

/** Everything that is done at this place. */
export function collect(place: Place): Results {
  const known = new Map<string, readonly Outcome[]>();
  const find: Find = (run) => {
    if (!known.has(run.id)) known.set(run.id, place.outcomes(run));
    return known.get(run.id)!;
  };
  const agreed = agreement(place, find);
  const mirrors = readMirrors(place);
  const tables = tablesOf(place.scale).map((table) => tabulate(table, find, (row) => mirrorOf(row, find(row.run), mirrors)));
  return {
    scale: place.scale,
    teachers: teachersOf(place),
    verdicts: [...judgeClaims(place.scale, find), ...(agreed ? [nearerVerdict(agreed)] : [])],
    tables: withReasons(tables.filter(({ groups }) => groups.length > 0)),
    agreement: agreed,
    outcomes: [...known.values()].flat(),
  };
}

export function tabulate(table: Table, find: Find, mirrored: (row: Row) => Mirror | null = () => null): TableResult {
  const groups = table.groups.map((group): LineGroup => {
    const [first] = group.rows;
    const lines = group.rows.flatMap((row): Line[] => {
      const bySeed = figures(row, find);
      if (bySeed.size === 0) return [];
      const [values, runs] = [[...bySeed.values()], find(row.run)];
      return [
        {
          label: row.label,
          id: row.run.id,
          values,
          mean: mean(values),
          deviation: deviation(values),
          gain: row === first ? null : difference(bySeed, figures(first!, find)),
          trainTop1: mean(runs.map((o) => 100 * (o.trainTop1 ?? o.curve.at(-1)?.train ?? NaN))),
          paper: row.paper ?? null,
          paperGain: row === first || row.paper === undefined || first!.paper === undefined ? null : row.paper - first!.paper,
          mirror: mirrored(row),
        },
      ];
    });
    return { title: group.title, at: group.at ?? null, lines };
  });
  const curves = table.curves.map(({ title, of, rows }) => ({
    title,
    lines: rows.flatMap((row): Curve[] => {
      const points = averaged(find(row.run), of);
      return points.length > 0 ? [{ label: row.label, points }] : [];
    }),
  }));
  return {
    ...{ name: table.name, title: table.title, about: table.about },
    groups: groups.filter(({ lines }) => lines.length > 0),
    curves: curves.filter(({ lines }) => lines.length > 0),
  };
}

/** Mean curve of runs that were evaluated after the same epochs. */
function averaged(runs: readonly Outcome[], of: "test" | "train"): Curve["points"] {
  const [first] = runs;
  return (first?.curve ?? []).map(({ epoch }, i) => ({ x: epoch, y: 100 * mean(runs.map((o) => o.curve[i]![of])) }));
}

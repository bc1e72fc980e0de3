/** Which variants of a row kernel a case runs with: not all teams, but a small one, the largest, and one that uses no subgroups. */
import { rowVariants, type RowVariant } from "../kernels/rows/rows.ts";

export function someVariants(D: number): RowVariant[] {
  const all = rowVariants(D);
  const teams = all.filter((v) => v.startsWith("team")),
    barriers = all.filter((v) => v.startsWith("barrier"));
  return [
    ...new Set<RowVariant>([
      "register",
      "shared",
      ...teams.slice(D < 100 ? 1 : teams.length >> 1).slice(0, 1),
      ...teams.slice(-1),
      ...barriers.slice(barriers.length >> 1).slice(0, 1),
    ]),
  ];
}

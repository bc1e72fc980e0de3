/** Which variants of a row kernel a case runs with: not all teams, but a small one, the largest, and one that uses no subgroups. */
import { ROW_VARIANTS, rowVariants, type RowVariant } from "../kernels/rows/variants.ts";

/** Of an operation on rows of the letter `D`: its variants, and what each needs of the adapter. */
export const rowKernels = (D: string) => ({
  variants: ROW_VARIANTS,
  tuned: "both" as const,
  needs: (variant: RowVariant, n: Readonly<Record<string, number>>) =>
    rowVariants(n[D]!).includes(variant) ? { invocations: variant.endsWith("256") ? 256 : 128 } : null,
});

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

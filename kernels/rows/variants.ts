/** Which kernel runs on rows: how many threads share a row (rows.ts has the kernels), by the adapter, by what was tuned, or as asked. */
import { getDevice } from "../../engine/device.ts";
import type { Tensor } from "../../engine/tensor.ts";
import { chosen } from "../shared/tuning.ts";
import { wideWorkgroup } from "../shared/wide-workgroup.ts";

const TEAMS = [4, 8, 16, 32, 64, 128, 256] as const;
/** Threads that share a row. */
export type Threads = (typeof TEAMS)[number];

export type RowVariant = "shared" | "register" | `team${Threads}` | `barrier${Threads}`;

export const ROW_VARIANTS: readonly RowVariant[] = [
  "shared",
  "register",
  ...TEAMS.map((T) => `team${T}` as const),
  ...TEAMS.map((T) => `barrier${T}` as const),
];

/** Elements per load. */
export type Width = 1 | 2 | 4;

/** Loads of a row that a thread keeps at most. */
const MAX_LOADS: Readonly<Record<Width, number>> = { 1: 24, 2: 12, 4: 8 };
/** Loads per thread that are few enough; a row gets more threads until then, up to a common subgroup. */
const FEW_LOADS: Readonly<Record<Width, number>> = { 1: 6, 2: 5, 4: 3 };
const COMMON_SUBGROUP = 32;
/** Threads needed to fill a GPU. */
const FULL_GPU = 2 ** 15;

/** Threads that share a row by `team<T>` and `barrier<T>`; null for the others. */
export const threadsOf = (variant: string): Threads | null => {
  const match = /^(?:team|barrier)(\d+)$/.exec(variant);
  return TEAMS.find((t) => t === Number(match?.[1])) ?? null;
};

/** How wide a row of D can be read. */
export const widthOf = (variant: RowVariant, D: number): Width => (D % 4 === 0 ? 4 : D % 2 === 0 && threadsOf(variant) ? 2 : 1);

const fits = (T: Threads, D: number): boolean => {
  const W = widthOf(`team${T}`, D);
  return T <= wideWorkgroup() && Math.ceil(D / W / T) <= MAX_LOADS[W];
};

/** Whether a variant can take rows of D. */
const able = (variant: string, D: number): boolean => {
  const T = threadsOf(variant);
  return T === null ? variant === "shared" || variant === "register" : fits(T, D);
};

/** The variants worth trying for rows of D: those that can take them, without teams that half the threads would do for. */
export const rowVariants = (D: number): RowVariant[] =>
  ROW_VARIANTS.filter((v) => {
    const T = threadsOf(v);
    return able(v, D) && (T === null || T === TEAMS[0] || T < (2 * D) / widthOf(v, D));
  });

/** For a GPU: the fewest threads per row that fill it, within a subgroup where the row allows. */
function teamFor(rows: number, D: number): RowVariant {
  const W = widthOf("team32", D),
    len = D / W;
  const all = TEAMS.filter((T) => fits(T, D));
  if (all.length === 0) return "shared";
  let T = all.find((t) => Math.ceil(len / t) <= FEW_LOADS[W] || t === COMMON_SUBGROUP) ?? all[0]!;
  while (rows * T < FULL_GPU && Math.ceil(len / T) > 2 && all.includes((2 * T) as Threads)) T = (2 * T) as Threads;
  return `team${T}`;
}

/** The variant asked for, else the one tuned for `op` on such rows, else the one for this kind of adapter. */
export function rowVariant(op: string, x: Pick<Tensor, "shape" | "size">, asked?: RowVariant): RowVariant {
  const D = x.shape.at(-1) ?? 1;
  if (asked) {
    if (!able(asked, D)) throw new Error(`${op}: expected a variant for rows of ${D} (${rowVariants(D).join(", ")}), got ${asked}`);
    return asked;
  }
  const choice = chosen(`${op} ${x.size / D}x${D}`);
  return choice !== undefined && able(choice, D)
    ? (choice as RowVariant)
    : getDevice().adapter.software
      ? "register"
      : teamFor(x.size / D, D);
}

export interface RowOptions {
  /** Default: chosen for the adapter. */
  readonly variant?: RowVariant | undefined;
}

/**
 * Two results of the benchmark, old and new, from the same kind of adapter: what got slower, beyond what noise explains.
 *
 * Times of two runs cannot be compared: the machine was another. Ratios to a rival can: it took turns with us. A case has
 * regressed where the new ratio's whole range lies below the old one's and its median fell by more than the noise of both.
 */
import { shown } from "../models/shown.ts";
import type { Failure } from "./run.ts";
import { geometricMean, round } from "./stats.ts";

/** As much of a result file as a comparison needs. */
export interface Results {
  readonly adapter: { readonly vendor: string; readonly architecture: string; readonly software: boolean };
  readonly where: string;
  readonly cases: readonly {
    readonly name: string;
    readonly paired: Readonly<Record<string, { readonly ratio: number; readonly low: number; readonly high: number }>>;
    readonly ours: object | Failure;
    readonly rivals: Readonly<Record<string, object | Failure>>;
  }[];
}

export interface Change {
  readonly name: string;
  readonly rival: string;
  readonly before: number;
  readonly after: number;
  /** after / before: below 1 we got slower. */
  readonly change: number;
  /** What of it may be noise, as a share. */
  readonly noise: number;
  readonly verdict: "slower" | "faster" | "same" | "too noisy";
}

export interface Comparison {
  readonly changes: readonly Change[];
  /** Cases that used to be measured against a rival, and now failed or disagreed. */
  readonly lost: readonly string[];
  /** Geometric mean of all changes. */
  readonly overall: number;
  readonly regressions: readonly string[];
}

/** Whatever the samples say, two runs of one build differ by as much: code lies elsewhere in memory, clocks and neighbours differ. */
const LEAST_NOISE = 0.06;
/** Beyond this nothing can be said of a case: a slowdown of a fifth could hide. */
const MOST_NOISE = 0.2;

/** What two results must share for their ratios to be compared. */
export const kindOf = ({ adapter: a, where }: Results): string =>
  `${a.vendor} ${a.architecture}${a.software ? " (software)" : ""} in ${where}`;

export function compare(before: Results, after: Results): Comparison {
  if (kindOf(before) !== kindOf(after))
    throw new Error(`compare: expected two results of one kind of adapter, got ${shown(kindOf(before))} and ${shown(kindOf(after))}`);
  const old = new Map(before.cases.map((c) => [c.name, c]));
  const changes: Change[] = [],
    lost: string[] = [];
  for (const c of after.cases) {
    for (const [rival, was] of Object.entries(old.get(c.name)?.paired ?? {})) {
      const is = c.paired[rival];
      if (is) changes.push(changeOf(c.name, rival, was, is));
      else if (c.rivals[rival]) lost.push(`${c.name}: ${errorOf(c.ours) ?? errorOf(c.rivals[rival]) ?? "no longer compared"}`);
    }
  }
  if (changes.length === 0 && lost.length === 0) throw new Error("compare: expected cases that both results have, got none");
  return {
    changes,
    lost,
    overall: changes.length === 0 ? 1 : round(geometricMean(changes.map((c) => c.change))),
    regressions: [
      ...changes.filter((c) => c.verdict === "slower").map((c) => `${c.name} (against ${c.rival}): ${c.before} -> ${c.after}`),
      ...lost,
    ],
  };
}

const errorOf = (t: object | Failure): string | null => ("error" in t ? t.error : null);

type Paired = Results["cases"][number]["paired"][string];

function changeOf(name: string, rival: string, was: Paired, is: Paired): Change {
  const spread = (p: Paired) => (p.high - p.low) / 2 / p.ratio;
  const noise = Math.max(LEAST_NOISE, Math.hypot(spread(was), spread(is)));
  const change = is.ratio / was.ratio;
  const verdict =
    change < 1 - noise && is.high < was.low
      ? "slower"
      : change > 1 + noise && is.low > was.high
        ? "faster"
        : noise > MOST_NOISE
          ? "too noisy"
          : "same";
  return { name, rival, before: was.ratio, after: is.ratio, change: round(change), noise: round(noise), verdict };
}

/** One measurement out of several of the same case: all their ratios' median, and a range that spans every one's median. */
export function pool<C extends Results["cases"][number]>(rounds: readonly C[]): C {
  const last = rounds.at(-1)!;
  const rivals = Object.keys(last.paired).filter((rival) => rounds.every((s) => s.paired[rival]));
  return {
    ...last,
    paired: Object.fromEntries(
      rivals.map((rival) => {
        const all = rounds.map((s) => s.paired[rival]!).sort((a, b) => a.ratio - b.ratio);
        const middle = all.length >> 1;
        const ratio = all.length % 2 === 1 ? all[middle]!.ratio : round((all[middle - 1]!.ratio + all[middle]!.ratio) / 2);
        if (all.length === 1) return [rival, all[0]!];
        return [rival, { ratio, low: all[0]!.ratio, high: all.at(-1)!.ratio }];
      }),
    ),
  };
}

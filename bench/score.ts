/**
 * How fast a result is beside a reference: per case the reference's median time over this one's, over the cases that both have,
 *
 *   score = 100 exp(mean of ln(t_reference / t_this)),   so 100 is the reference and 200 twice as fast.
 *
 * Its range is of the samples' spread alone. With n samples whose quartiles are q1 and q3 a median's logarithm has the standard error
 *
 *   s = sqrt(pi / 2 / n) ln(q3 / q1) / 1.349,
 *
 * that of a median of normal values, whose quartiles lie 1.349 deviations apart. Errors of K cases are independent, so the mean's is
 * sqrt(sum of s^2 over both results) / K, and the range is score exp(-+ 1.96 times that). What a machine does for minutes at a time,
 * a neighbour's work or heat, moves all cases together and is not in it.
 */
import type { ResultFile } from "./result-file.ts";
import type { Failure, Timing } from "./run.ts";

export interface Score {
  /** 100 where both are as fast. */
  readonly score: number;
  readonly low: number;
  readonly high: number;
  /** Cases that both results have timed. */
  readonly cases: number;
  /** Of these, those with fewer than five samples: quartiles of so few say little of the spread. */
  readonly fewSamples: number;
}

type Timed = Pick<ResultFile, "cases">;

const ENOUGH = 5;
const Z = 1.96;
/** Distance of a normal distribution's quartiles, in deviations. */
const QUARTILES = 1.349;

/** The score of a suite, or of all cases where `suite` is null; null where no case is in both results. */
export function scoreOf(result: Timed, reference: Timed, suite: string | null): Score | null {
  const others = new Map(reference.cases.map((c) => [c.name, c.ours]));
  const pairs = result.cases
    .filter((c) => suite === null || c.suite === suite)
    .flatMap((c) => {
      const other = others.get(c.name);
      return other && timed(other) && timed(c.ours) ? [[c.ours, other] as const] : [];
    });
  const K = pairs.length;
  if (K === 0) return null;
  const mean = pairs.reduce((sum, [own, other]) => sum + Math.log(other.medianMs / own.medianMs), 0) / K;
  const error = Math.sqrt(pairs.flat().reduce((sum, t) => sum + standardError(t) ** 2, 0)) / K;
  return {
    score: 100 * Math.exp(mean),
    low: 100 * Math.exp(mean - Z * error),
    high: 100 * Math.exp(mean + Z * error),
    cases: K,
    fewSamples: pairs.filter((both) => both.some(({ runs }) => runs < ENOUGH)).length,
  };
}

const timed = (t: Timing | Failure): t is Timing => !("error" in t);

/** Of the median's logarithm. */
const standardError = ({ q1Ms, q3Ms, runs }: Timing): number => (Math.sqrt(Math.PI / 2 / runs) * Math.log(q3Ms / q1Ms)) / QUARTILES;

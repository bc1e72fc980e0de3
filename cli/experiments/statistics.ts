/** Means, deviations and paired differences over seeds. */

export const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/** Of a sample, n - 1; `null` for fewer than two values. */
export function deviation(values: readonly number[]): number | null {
  if (values.length < 2) return null;
  const m = mean(values);
  return Math.sqrt(values.reduce((sum, v) => sum + (v - m) ** 2, 0) / (values.length - 1));
}

export interface Estimate {
  readonly mean: number;
  /** Standard error of the mean; `null` of one value. */
  readonly error: number | null;
  readonly seeds: number;
}

export function estimate(values: readonly number[]): Estimate | null {
  if (values.length === 0) return null;
  const spread = deviation(values);
  return { mean: mean(values), error: spread === null ? null : spread / Math.sqrt(values.length), seeds: values.length };
}

/** A figure by seed. */
export type BySeed = ReadonlyMap<number, number>;

/** `a` less `b` over the seeds of both: the same seed is the same order of pictures and the same draws. */
export const difference = (a: BySeed, b: BySeed): Estimate | null =>
  estimate([...a].flatMap(([seed, value]) => (b.has(seed) ? [value - b.get(seed)!] : [])));

/** Standard errors beyond which a difference counts. */
const CLEAR = 2;

/** +1 above, -1 below, 0 not told apart; `null` where one seed says nothing. */
export function direction(e: Estimate | null): 1 | 0 | -1 | null {
  if (!e || e.error === null) return null;
  if (Math.abs(e.mean) <= CLEAR * e.error) return 0;
  return e.mean > 0 ? 1 : -1;
}

/** Whether a difference is surely within `points`. */
export const within = ({ mean, error }: Estimate, points: number): boolean => error !== null && Math.abs(mean) + CLEAR * error <= points;

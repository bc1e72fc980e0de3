/** Statistics of samples. Medians throughout: disturbances only ever lengthen a sample. */

export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((x, y) => x - y);
  const at = q * (sorted.length - 1),
    below = Math.floor(at);
  return sorted[below]! + (at - below) * ((sorted[below + 1] ?? sorted[below]!) - sorted[below]!);
}

export const median = (values: readonly number[]): number => quantile(values, 0.5);

/** A range that holds the true median in about 95 of 100 cases, whatever the distribution: order statistics n/2 -+ 0.98 sqrt(n). */
export function medianInterval(values: readonly number[]): readonly [number, number] {
  const sorted = [...values].sort((x, y) => x - y);
  const n = sorted.length,
    half = 0.98 * Math.sqrt(n);
  const low = Math.max(0, Math.floor(n / 2 - half)),
    high = Math.min(n - 1, Math.ceil(n / 2 + half) - 1);
  return [sorted[low]!, sorted[Math.max(low, high)]!];
}

/** The second half's median over the first's: 1 where nothing warmed up, slowed down or filled up meanwhile. */
export function drift(values: readonly number[]): number {
  const half = values.length >> 1;
  return half === 0 ? 1 : median(values.slice(-half)) / median(values.slice(0, half));
}

/** Whether that is more than the samples' own spread explains: beyond 10 %, and the halves' quartiles lie apart. */
export function drifted(values: readonly number[]): boolean {
  const half = values.length >> 1;
  if (half < 3 || Math.abs(drift(values) - 1) <= 0.1) return false;
  const [first, second] = [values.slice(0, half), values.slice(-half)];
  return quantile(first, 0.75) < quantile(second, 0.25) || quantile(second, 0.75) < quantile(first, 0.25);
}

export const geometricMean = (values: readonly number[]): number =>
  Math.exp(values.reduce((sum, x) => sum + Math.log(x), 0) / values.length);

/** Four figures are more than a timing is good for. */
export const round = (x: number): number => Number(x.toPrecision(4));

/** How likely a sample as odd as the given one is under a stated distribution. Press et al., "Numerical Recipes", chapters 6.2 and 14.3. */

const LANCZOS = [
  676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059, 12.507343278686905, -0.13857109526572012,
  9.9843695780195716e-6, 1.5056327351493116e-7,
];

function logGamma(x: number): number {
  if (x < 0.5) return Math.log(Math.PI / Math.sin(Math.PI * x)) - logGamma(1 - x);
  const t = x + 6.5;
  const sum = LANCZOS.reduce((total, c, i) => total + c / (x + i), 0.99999999999980993);
  return 0.5 * Math.log(2 * Math.PI) + (x - 0.5) * Math.log(t) - t + Math.log(sum);
}

/** The upper regularised incomplete gamma function Q(a, x): a series below a + 1, Lentz's continued fraction above. */
function upperGamma(a: number, x: number): number {
  if (x <= 0) return 1;
  const scale = Math.exp(a * Math.log(x) - x - logGamma(a));
  if (x < a + 1) {
    let term = 1 / a,
      sum = term;
    for (let n = 1; n < 1000 && term > sum * 1e-15; n++) sum += term *= x / (a + n);
    return 1 - sum * scale;
  }
  let b = x + 1 - a,
    c = 1e300,
    d = 1 / b,
    h = d;
  for (let i = 1; i < 1000; i++) {
    b += 2;
    d = 1 / (i * (a - i) * d + b);
    c = b + (i * (a - i)) / c;
    h *= c * d;
    if (Math.abs(c * d - 1) < 1e-15) break;
  }
  return h * scale;
}

/** P(chi-square with `degrees` >= x). */
export const chiSquareTail = (x: number, degrees: number): number => upperGamma(degrees / 2, x / 2);

/** P of counts at least as far from `shares` (which sum to 1; equal ones if left out). Every cell must expect five or more. */
export function chiSquare(counts: readonly number[], shares: readonly number[] = counts.map(() => 1 / counts.length)): number {
  const total = counts.reduce((a, b) => a + b, 0);
  if (shares.some((s) => s * total < 5)) throw new Error("chiSquare: expected at least 5 in every cell");
  return chiSquareTail(
    counts.reduce((x, n, k) => x + (n - total * shares[k]!) ** 2 / (total * shares[k]!), 0),
    counts.length - 1,
  );
}

/** Counts of 0 .. cells - 1 among the values. */
export function tally(values: readonly number[], cells: number): number[] {
  const counts = new Array<number>(cells).fill(0);
  for (const v of values) counts[v]!++;
  return counts;
}

/** Kolmogorov and Smirnov's P of a distance at least as large between the sample and `cdf`. */
export function kolmogorovSmirnov(sample: readonly number[], cdf: (x: number) => number): number {
  const sorted = sample.toSorted((a, b) => a - b);
  const n = sorted.length;
  const distance = sorted.reduce((most, x, i) => Math.max(most, cdf(x) - i / n, (i + 1) / n - cdf(x)), 0);
  const t = distance * (Math.sqrt(n) + 0.12 + 0.11 / Math.sqrt(n));
  if (t < 0.2) return 1;
  let p = 0;
  for (let k = 1; k <= 100; k++) p += 2 * (-1) ** (k - 1) * Math.exp(-2 * (k * t) ** 2);
  return Math.min(1, Math.max(0, p));
}

export const uniformCdf =
  (low: number, high: number) =>
  (x: number): number =>
    Math.min(1, Math.max(0, (x - low) / (high - low)));

/** Of the normal distribution, by the incomplete gamma function. */
export const normalCdf = (x: number): number => (x >= 0 ? 1 - 0.5 * upperGamma(0.5, (x * x) / 2) : 0.5 * upperGamma(0.5, (x * x) / 2));

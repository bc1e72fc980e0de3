/**
 * How a model's speed holds up: images per second, window by window, for minutes. Phones and laptops slow down once they are hot.
 *
 * The knee is where speed fell for good. For every split of the n windows into n1 before and n2 after, three at least on each side, the
 * drop is the difference of both means; the knee is the split with the largest drop over s sqrt(1/n1 + 1/n2), where s is the noise from
 * one window to the next: the median of |x[i+1] - x[i]| over 0.6745 sqrt(2), so that the drop itself is not in it. It counts if that
 * quotient is above 5 (of 58 splits of pure normal noise one in ten thousand runs) and the drop is a twentieth or more.
 */
import type { Benchmark } from "./benchmark.ts";
import type { Prepared } from "./contender.ts";
import { median, round } from "./stats.ts";

export interface Window {
  /** From the start to this window's end. */
  readonly seconds: number;
  readonly imagesPerSecond: number;
}

export interface Knee {
  /** From the start to the last window before the fall. */
  readonly seconds: number;
  /** Mean images per second on both sides. */
  readonly before: number;
  readonly after: number;
}

export interface Sustained {
  readonly case: string;
  readonly imagesPerRun: number;
  /** As long as was asked for. */
  readonly seconds: number;
  readonly windows: readonly Window[];
  readonly knee: Knee | null;
  /** Why it ended before. */
  readonly stopped?: string;
}

export interface SustainedArgs {
  /** Name of a model's case. */
  readonly case: string;
  readonly seconds: number;
  readonly version: string;
  readonly commit: string;
}

export const WINDOW_SECONDS = 10;
/** Windows on each side of a knee. */
const SIDE = 3;
const CERTAIN = 5;
const LEAST_DROP = 0.05;
/** Runs are bundled so that the wait for the adapter costs little and a stop is quick. */
export const BUNDLE_MS = 250;

/** Whether a run of a case is of images. */
export const imagesOf = ({ work }: Benchmark): number | null => ("B" in work ? work.B : null);

export function kneeOf(windows: readonly Window[]): Knee | null {
  const rates = windows.map((w) => w.imagesPerSecond);
  const n = rates.length;
  if (n < 2 * SIDE) return null;
  const noise = median(rates.slice(1).map((x, i) => Math.abs(x - rates[i]!))) / (0.6745 * Math.SQRT2);
  let best: Knee | null = null,
    most = CERTAIN;
  for (let i = SIDE; i <= n - SIDE; i++) {
    const before = mean(rates.slice(0, i)),
      after = mean(rates.slice(i));
    const quotient = (before - after) / Math.max(noise * Math.sqrt(1 / i + 1 / (n - i)), 1e-9 * before);
    if (quotient <= most || after > (1 - LEAST_DROP) * before) continue;
    most = quotient;
    best = { seconds: windows[i - 1]!.seconds, before: round(before), after: round(after) };
  }
  return best;
}

const mean = (values: readonly number[]): number => values.reduce((sum, x) => sum + x, 0) / values.length;

/** Runs for `seconds`, telling of each window at its end. `now` is a clock in ms; to be replaced by tests. */
export async function sustain(
  prepared: Pick<Prepared, "run">,
  imagesPerRun: number,
  seconds: number,
  told: (window: Window) => void,
  now: () => number = () => performance.now(),
): Promise<void> {
  await prepared.run(1); // pipelines and first uploads are not what is held up
  const started = now();
  let from = started,
    runs = 0,
    bundle = 1;
  for (let at = started; at - started < 1000 * seconds; ) {
    await prepared.run(bundle);
    runs += bundle;
    const each = (now() - at) / bundle;
    at = now();
    bundle = Math.max(1, Math.round(BUNDLE_MS / Math.max(each, 0.01)));
    if (at - from < 1000 * WINDOW_SECONDS) continue;
    told({ seconds: (at - started) / 1000, imagesPerSecond: round((1000 * imagesPerRun * runs) / (at - from)) });
    [from, runs] = [at, 0];
  }
}

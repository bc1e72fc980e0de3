/** Sustained speed on a clock of the test's own: the windows, and where a knee is found. */
import { describe, expect, test } from "vitest";
import { kneeOf, sustain, type Window } from "../../bench/sustained.ts";

/** Windows of 10 s with these images per second. */
const windows = (rates: readonly number[]): Window[] => rates.map((imagesPerSecond, i) => ({ seconds: 10 * (i + 1), imagesPerSecond }));

/** Normal values from a seed. */
function normals(seed: number): () => number {
  let state = seed * 7919 + 1;
  const uniform = () => (state = (state * 48271) % 0x7fffffff) / 0x7fffffff;
  return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
}
const noisy = (seed: number, rates: readonly number[]): number[] => {
  const normal = normals(seed);
  return rates.map((x) => x * (1 + 0.02 * normal()));
};
const flat = (value: number, n: number): number[] => Array.from({ length: n }, () => value);

test("ten minutes of an adapter that slows down after five, on a clock that is set", async () => {
  let ms = 0;
  const told: Window[] = [];
  const run = (times: number) => {
    ms += times * (ms < 300_000 ? 40 : 50);
    return Promise.resolve();
  };
  await sustain(
    { run },
    8,
    600,
    (window) => told.push(window),
    () => ms,
  );
  expect(told).toHaveLength(59); // 600 s of windows that end with the first bundle of runs after 10 s
  expect(told[0]!.imagesPerSecond).toBeCloseTo(200, 6);
  expect(told.at(-1)!.imagesPerSecond).toBeCloseTo(160, 6);
  const knee = kneeOf(told)!;
  expect(Math.abs(knee.seconds - 300)).toBeLessThan(11);
  expect(knee).toMatchObject({ after: 160 });
});

test("runs that take longer than a window make longer windows", async () => {
  let ms = 0;
  const told: Window[] = [];
  const run = (times: number) => Promise.resolve(void (ms += times * 12_000));
  await sustain(
    { run },
    6,
    36,
    (window) => told.push(window),
    () => ms,
  );
  expect(told).toEqual([1, 2, 3].map((i) => ({ seconds: 12 * i, imagesPerSecond: 0.5 })));
});

describe("the knee", () => {
  test("none in 500 runs of 2 % noise", () => {
    const found = Array.from({ length: 500 }, (_, seed) => kneeOf(windows(noisy(seed, flat(100, 60))))).filter((knee) => knee !== null);
    expect(found).toEqual([]);
  });

  test("a fall by a tenth under 2 % noise is found within two windows of its place in at least 95 of 100 runs", () => {
    let right = 0;
    for (let seed = 0; seed < 100; seed++) {
      const knee = kneeOf(windows(noisy(seed, [...flat(100, 25), ...flat(90, 35)])));
      if (knee && Math.abs(knee.seconds - 250) <= 20) right++;
    }
    expect(right).toBeGreaterThanOrEqual(95);
  });

  test("one slow window, a slow start and a speed that rises are none", () => {
    expect(kneeOf(windows([...flat(100, 20), 40, ...flat(100, 20)]))).toBeNull();
    expect(kneeOf(windows([50, ...flat(100, 30)]))).toBeNull();
    expect(kneeOf(windows([...flat(80, 10), ...flat(100, 10)]))).toBeNull();
  });

  test("fewer than six windows tell none", () => {
    expect(kneeOf(windows([100, 100, 100, 50, 50]))).toBeNull();
    expect(kneeOf(windows([100, 100, 100, 50, 50, 50]))).toEqual({ seconds: 30, before: 100, after: 50 });
  });
});

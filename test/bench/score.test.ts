/** The score of a result beside a reference, and how often its range holds the truth. */
import { describe, expect, test } from "vitest";
import { quantile } from "../../bench/stats.ts";
import { scoreOf } from "../../bench/score.ts";
import { made, timing } from "./made.ts";

/** A result whose cases take these milliseconds. */
const result = (times: Readonly<Record<string, number>>) => {
  const whole = made({ cases: Object.fromEntries(Object.keys(times).map((name) => [name, 1])) });
  return { ...whole, cases: whole.cases.map((c) => ({ ...c, ours: timing(times[c.name]!) })) };
};

describe("score", () => {
  test("a result beside itself is 100; half the time is 200; faster and slower cases cancel", () => {
    const reference = result({ a: 8, b: 2 });
    expect(scoreOf(reference, reference, null)).toMatchObject({ score: 100, cases: 2, fewSamples: 0 });
    expect(scoreOf(result({ a: 4, b: 1 }), reference, null)!.score).toBeCloseTo(200, 10);
    expect(scoreOf(result({ a: 16, b: 1 }), reference, null)!.score).toBeCloseTo(100, 10);
  });

  test("only cases of the suite that both have timed count", () => {
    const own = result({ "matmul 1": 1, "train a": 1, other: 1 });
    const reference = result({ "matmul 1": 3, "train a": 5 });
    expect(scoreOf(own, reference, "train")).toMatchObject({ score: 500, cases: 1 });
    expect(scoreOf(own, reference, "kernels")!.score).toBeCloseTo(300, 10);
    expect(scoreOf(own, reference, null)!.cases).toBe(2);
    expect(scoreOf(own, reference, "inference")).toBeNull();
    const failed = { ...own, cases: own.cases.map((c) => ({ ...c, ours: { error: "lost" } })) };
    expect(scoreOf(failed, reference, null)).toBeNull();
  });

  test("the range is the formula's", () => {
    const one = result({ a: 10 }); // 20 samples, quartiles 9.5 and 11
    const error = Math.sqrt(2) * Math.sqrt(Math.PI / 40) * (Math.log(11 / 9.5) / 1.349);
    const { low, high } = scoreOf(one, one, null)!;
    expect(low).toBeCloseTo(100 * Math.exp(-1.96 * error), 8);
    expect(high).toBeCloseTo(100 * Math.exp(1.96 * error), 8);
  });

  test("cases of few samples are counted", () => {
    const one = result({ a: 10, b: 10 });
    const few = { ...one, cases: one.cases.map((c, i) => (i === 0 ? { ...c, ours: { ...timing(10), runs: 3 } } : c)) };
    expect(scoreOf(few, one, null)!.fewSamples).toBe(1);
  });

  test("of 1,000 measurements with 10 % noise the range holds the true score in 90 to 99 of 100", () => {
    let seed = 1;
    const uniform = () => (seed = (seed * 48271) % 0x7fffffff) / 0x7fffffff;
    const normal = () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
    const drawn = (ms: number, runs: number) => {
      const samples = Array.from({ length: runs }, () => ms * Math.exp(0.1 * normal()));
      return { ...timing(1), runs, medianMs: quantile(samples, 0.5), q1Ms: quantile(samples, 0.25), q3Ms: quantile(samples, 0.75) };
    };
    const names = Array.from({ length: 8 }, (_, i) => `case ${i}`);
    const whole = result(Object.fromEntries(names.map((name) => [name, 1])));
    const measured = (speed: number) => ({ ...whole, cases: whole.cases.map((c, i) => ({ ...c, ours: drawn((1 + i) / speed, 15) })) });
    let held = 0;
    for (let i = 0; i < 1000; i++) {
      const { low, high } = scoreOf(measured(1.5), measured(1), null)!;
      if (low <= 150 && high >= 150) held++;
    }
    expect(held).toBeGreaterThan(900);
    expect(held).toBeLessThan(990);
  });
});

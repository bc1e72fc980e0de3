/** The benchmark's own arithmetic, and what it refuses to time. Contenders here take as long as they say. */
import { expect, test } from "vitest";
import { inputsOf, type Case } from "../bench/case.ts";
import { cases } from "../bench/cases.ts";
import type { Contender } from "../bench/contender.ts";
import { difference, measure, type Limits } from "../bench/run.ts";
import { median } from "../bench/stats.ts";

const limits: Limits = { samples: 5, seconds: 0, atMostSeconds: 1000, sampleMs: 0 };
const small: Case = { ...cases[0]!, work: { op: "matmul", M: 1, K: 2, N: 2 }, flops: 8e6, bytes: 4e6, compared: 1 };

/** A clock, and contenders that move it. */
function stage() {
  let timeMs = 0;
  const log: string[] = [];
  const contender = (name: string, takes: readonly number[], result: readonly number[] | Error): Contender => ({
    name, version: "1", flags: {},
    async prepare() {
      let i = 0;
      return {
        async run(times) {
          log.push(name);
          timeMs += times * takes[i++ % takes.length]!;
        },
        async result() {
          if (result instanceof Error) throw result;
          return [Float32Array.from(result)];
        },
        dispose: () => log.push(`${name} gone`),
      };
    },
  });
  return { log, contender, now: () => timeMs };
}

test("a ratio is the rival's median over ours, and they take turns", async () => {
  const { log, contender, now } = stage();
  const m = await measure(small, contender("ours", [2], [1, 2]), [contender("rival", [9, 9, 6, 6, 6, 10, 30], [1, 2])], { limits, now });
  expect(m.ratio["rival"]).toBe(3);
  expect(m.ratioRange["rival"]).toEqual([3, 15]);
  expect(m.ours).toMatchObject({ medianMs: 2, runs: 5, firstMs: 2 });
  expect(m.gflops).toBe(4);
  expect(m.gbps).toBe(2);
  expect(log.slice(4, -2).join(" ")).toBe(Array(5).fill("ours rival").join(" "));
  expect(log.slice(-2)).toEqual(["ours gone", "rival gone"]);
});

test("a case whose results differ is not counted, and says so", async () => {
  const { contender, now } = stage();
  const m = await measure(small, contender("ours", [1], [1, 2]), [contender("rival", [1], [1, 2.1])], { limits, now });
  expect(m.ratio).toEqual({});
  expect(m.difference).toBeCloseTo(0.1 / 2.1, 4);
  expect(m.rivals["rival"]).toEqual({ error: expect.stringMatching(/^results differ by 4\.8e-2, more than 1\.0e-4$/) });
});

test("a contender that fails does not stop the others", async () => {
  const { contender, now } = stage();
  const rivals = [contender("broken", [1], new Error("boom\nmore")), contender("rival", [2], [1, 2])];
  const m = await measure(small, contender("ours", [1], [1, 2]), rivals, { limits, now });
  expect(m.rivals["broken"]).toEqual({ error: "boom" });
  expect(m.ratio).toEqual({ rival: 2 });
});

test("nothing is faster than ours where ours failed", async () => {
  const { contender, now } = stage();
  const m = await measure(small, contender("ours", [1], new Error("boom")), [contender("rival", [2], [1, 2])], { limits, now });
  expect(m.ours).toEqual({ error: "boom" });
  expect([m.ratio, m.gflops, m.difference]).toEqual([{}, null, null]);
  expect(m.rivals["rival"]).toMatchObject({ medianMs: 2 });
});

test("short runs are bundled, all contenders' alike", async () => {
  const { contender, now } = stage();
  const m = await measure(small, contender("ours", [0.5], [1, 2]), [contender("rival", [2], [1, 2])], { limits: { ...limits, sampleMs: 4 }, now });
  expect(m.ours).toMatchObject({ runsPerSample: 8, medianMs: 0.5 });
  expect(m.rivals["rival"]).toMatchObject({ runsPerSample: 8, medianMs: 2 });
});

test("differences: other forms, numbers that are none, and empty memory never agree", () => {
  const f = (...x: number[]) => Float32Array.from(x);
  expect(difference([f(1, 2)], [f(1, 2)])).toBe(0);
  expect(difference([f(1, 2)], [f(1, 4)])).toBe(0.5);
  for (const [a, b] of [[[f(1)], [f(1, 2)]], [[f(1)], []], [[f(NaN)], [f(1)]], [[f(1)], [f(Infinity)]], [[f(0)], [f(0)]]] as const) {
    expect(difference([...a], [...b])).toBe(Infinity);
  }
  expect([median([3, 1, 2]), median([4, 1, 2, 3])]).toEqual([2, 2.5]);
});

test("cases: names are unique, every adapter has some of each suite, inputs are the same on every call", () => {
  expect(new Set(cases.flatMap((c) => c.sets.map((set) => `${set} ${c.name}`))).size).toBe(cases.flatMap((c) => c.sets).length);
  for (const set of ["software", "gpu"] as const) for (const suite of ["kernels", "inference", "train"]) expect(cases.some((c) => c.suite === suite && c.sets.includes(set))).toBe(true);
  const c = cases.find((one) => one.name === "layerNorm 788x192 fwd+bwd")!;
  expect([...inputsOf(c)].map(([name, { shape }]) => [name, shape])).toEqual([["x", [788, 192]], ["weight", [192]], ["bias", [192]], ["dy", [788, 192]]]);
  const [first, again] = [inputsOf(c), inputsOf(c)].map((inputs) => [...inputs.values()].map(({ data }) => data));
  expect(difference(first!, again!)).toBe(0);
  expect([c.flops, c.bytes]).toEqual([0, 4 * (5 * 788 * 192 + 6 * 192)]);
  expect(cases.find((one) => one.name === "matmul 256x256x256")!.flops).toBe(2 * 256 ** 3);
});

/** The benchmark's own arithmetic, and what it refuses to time. Contenders here take as long as they say. */
import { expect, test } from "vitest";
import { inputsOf, type Benchmark } from "../bench/benchmark.ts";
import { ops } from "../checks/catalog.ts";
import { cases } from "../bench/cases.ts";
import type { Contender } from "../bench/contender.ts";
import { peakFraction } from "../bench/ceilings.ts";
import { compare, pool, type Results } from "../bench/compare.ts";
import { sameAdapter } from "../bench/contender.ts";
import { onnxFileOf } from "../bench/onnx-graphs.ts";
import { deitConfig } from "../models/deit-names.ts";
import { axesOf, parseOnnx } from "./models/onnx-file.ts";
import { difference, measure, type Limits } from "../bench/run.ts";
import { drift, drifted, median, medianInterval } from "../bench/stats.ts";

const limits: Limits = { samples: 5, seconds: 0, atMostSeconds: 1000, sampleMs: 0 };
const product = (sizes: string): Benchmark["work"] => ({ op: "matmul", sizes, ...ops["matmul"]!.problem(sizes) });
const small: Benchmark = { ...cases[0]!, work: product("1x2x2"), flops: 8e6, bytes: 4e6, compared: 1 };

/** A clock, and contenders that move it. */
function stage() {
  let timeMs = 0;
  const log: string[] = [];
  const contender = (name: string, takes: readonly number[], result: readonly number[] | Error): Contender => ({
    name,
    version: "1",
    flags: {},
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
  expect(log.slice(-12, -2).join(" ")).toBe("ours rival rival ours ours rival rival ours ours rival");
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

test("short runs are bundled, each contender's into samples of the same length", async () => {
  const { contender, now } = stage();
  const m = await measure(small, contender("ours", [0.5], [1, 2]), [contender("rival", [2], [1, 2])], {
    limits: { ...limits, sampleMs: 4 },
    now,
  });
  expect(m.ours).toMatchObject({ runsPerSample: 8, medianMs: 0.5 });
  expect(m.rivals["rival"]).toMatchObject({ runsPerSample: 2, medianMs: 2 });
});

test("differences: other forms, numbers that are none, and empty memory never agree", () => {
  const f = (...x: number[]) => Float32Array.from(x);
  expect(difference([f(1, 2)], [f(1, 2)])).toBe(0);
  expect(difference([f(1, 2)], [f(1, 4)])).toBe(0.5);
  for (const [a, b] of [
    [[f(1)], [f(1, 2)]],
    [[f(1)], []],
    [[f(NaN)], [f(1)]],
    [[f(1)], [f(Infinity)]],
    [[f(0)], [f(0)]],
  ] as const) {
    expect(difference([...a], [...b])).toBe(Infinity);
  }
  expect([median([3, 1, 2]), median([4, 1, 2, 3])]).toEqual([2, 2.5]);
});

const results = (cases: readonly (readonly [name: string, ratio: number, spread: number])[], software = true): Results => ({
  adapter: { vendor: "mesa", architecture: "software", software },
  where: "node",
  cases: cases.map(([name, ratio, spread]) => ({
    name,
    ours: {},
    rivals: { tfjs: {} },
    paired: { tfjs: { ratio, low: ratio * (1 - spread), high: ratio * (1 + spread) } },
  })),
});

test("a fifth slower is a regression; what the samples' own spread explains is not", () => {
  const before = results([
    ["steady", 2, 0.02],
    ["restless", 2, 0.15],
    ["wild", 2, 0.4],
  ]);
  const same = compare(
    before,
    results([
      ["steady", 1.93, 0.03],
      ["restless", 1.75, 0.15],
      ["wild", 1.2, 0.4],
    ]),
  );
  expect(same.regressions).toEqual([]);
  expect(same.changes.map((c) => c.verdict)).toEqual(["same", "too noisy", "too noisy"]);
  const slower = compare(
    before,
    results([
      ["steady", 2 / 1.2, 0.03],
      ["restless", 2, 0.15],
      ["wild", 2, 0.4],
    ]),
  );
  expect(slower.changes.map((c) => c.verdict)).toEqual(["slower", "too noisy", "too noisy"]);
  expect(slower.regressions).toEqual([expect.stringMatching(/^steady \(against tfjs\): 2 -> 1\.66/)]);
  expect(compare(before, results([["steady", 2.4, 0.03]])).changes[0]!.verdict).toBe("faster");
});

test("a case that no longer computes what it did is a regression too, and another kind of adapter no comparison", () => {
  const before = results([["a", 2, 0.02]]);
  const broken = { ...before, cases: [{ ...before.cases[0]!, paired: {}, rivals: { tfjs: { error: "results differ" } } }] };
  expect(compare(before, broken).regressions).toEqual(["a: results differ"]);
  expect(() => compare(before, results([["a", 2, 0.02]], false))).toThrow(
    /^compare: expected two results of one kind of adapter, got mesa software \(software\) in node and mesa software in node$/,
  );
  expect(() => compare(before, results([["b", 2, 0.02]]))).toThrow(/expected cases that both results have/);
});

test("several rounds count as one: their median, and a range over them", () => {
  const pooled = pool([2, 2.4, 2.1].map((ratio) => results([["a", ratio, 0.01]]).cases[0]!));
  expect(pooled.paired).toEqual({ tfjs: { ratio: 2.1, low: 2, high: 2.4 } });
});

test("drift: halves that differ beyond their spread", () => {
  expect(drifted([1, 1.01, 0.99, 1.3, 1.31, 1.29])).toBe(true);
  expect(drift([1, 1.01, 0.99, 1.3, 1.31, 1.29])).toBeCloseTo(1.3);
  for (const steady of [
    [1, 1.01, 0.99, 1.02, 1, 1.01],
    [1, 2, 1, 2, 1, 2],
    [1, 2, 3, 2, 1.5, 3.5],
    [1, 9],
  ])
    expect(drifted(steady)).toBe(false);
  const [low, high] = medianInterval(Array.from({ length: 45 }, (_, i) => i));
  expect([low, high]).toEqual([15, 29]);
});

test("a rival's name may not hide another adapter, and a share of the peak is of the nearer ceiling", () => {
  const a = { vendor: "v", architecture: "a", device: "", description: "" };
  expect(() => sameAdapter("tfjs", a, { ...a, vendor: "w" })).toThrow('tfjs: expected the adapter "v a  ", got "w a  "');
  const ceilings = { copyGBps: 10, fmaGFlops: 100 };
  expect(peakFraction(ceilings, 1e9, 1e6, 20)).toBe(0.5); // 10 ms of arithmetic
  expect(peakFraction(ceilings, 0, 1e9, 200)).toBe(0.5); // 100 ms of memory
  expect(peakFraction(ceilings, 0, 0, 5)).toBeNull();
});

test("a case as an ONNX file: a product of two inputs, and a model of as many images as the case has", () => {
  const inputs = new Map([
    ["a", { shape: [1, 2], data: new Float32Array(2) }],
    ["b", { shape: [2, 3], data: new Float32Array(6) }],
  ]);
  const { bytes, feeds, y } = onnxFileOf({ work: product("1x2x3"), backward: false }, inputs);
  expect([feeds, y]).toEqual([{ a: "a", b: "b" }, "y"]);
  const { graph } = parseOnnx(bytes);
  expect(graph.node.map(({ op, input }) => [op, input])).toEqual([
    ["MatMul", ["a", "b"]],
    ["Identity", ["MatMul_0"]],
  ]);
  expect([...graph.input, ...graph.output].map(axesOf)).toEqual([
    ["a", 1, 1, 2],
    ["b", 1, 2, 3],
    ["y", 1, 1, 3],
  ]);
  expect(() => onnxFileOf({ work: product("1x2x3"), backward: true }, new Map())).toThrow("inference only");

  const config = { ...deitConfig("deit_tiny_distilled_patch16_224")!, imgSize: 32, dim: 24, depth: 1, numClasses: 3 };
  const forward: Benchmark = { ...small, work: { op: "forward", B: 2, config } };
  const file = onnxFileOf(forward, inputsOf(forward));
  expect([file.feeds, file.y]).toEqual([{ pixel_values: "x" }, "logits"]);
  expect(parseOnnx(file.bytes).graph.input.map(axesOf)).toEqual([["pixel_values", 1, 2, 3, 32, 32]]);
});

test("cases: names are unique, every adapter has some of each suite, inputs are the same on every call", () => {
  expect(new Set(cases.flatMap((c) => c.sets.map((set) => `${set} ${c.name}`))).size).toBe(cases.flatMap((c) => c.sets).length);
  for (const set of ["software", "gpu"] as const)
    for (const suite of ["kernels", "inference", "train", "scaling"])
      expect(cases.some((c) => c.suite === suite && c.sets.includes(set))).toBe(true);
  const c = cases.find((one) => one.name === "layerNorm 788x192 fwd+bwd")!;
  expect([...inputsOf(c)].map(([name, { shape }]) => [name, shape])).toEqual([
    ["x", [788, 192]],
    ["weight", [192]],
    ["bias", [192]],
    ["dy", [788, 192]],
  ]);
  const [first, again] = [inputsOf(c), inputsOf(c)].map((inputs) => [...inputs.values()].map(({ data }) => data));
  expect(difference(first!, again!)).toBe(0);
  expect([c.flops, c.bytes]).toEqual([0, 4 * (5 * 788 * 192 + 6 * 192)]);
  expect(cases.find((one) => one.name === "matmul 256x256x256")!.flops).toBe(2 * 256 ** 3);
  // Patches, queries, keys and values of 198 tokens; the rest of the only block, and the heads, for two of them.
  const macs = 3 * 256 * 196 * 192 + 3 * 192 * 198 * 192 + (192 + 768 + 768) * 2 * 192 + 2 * 198 * 2 * 192 + 2 * 192 * 1000;
  expect(cases.find((one) => one.name === "forward deit_dim192_depth1_distilled_patch16_224 B1")!.flops).toBe(2 * macs);
});

/** Several result files made one. */
import { expect, test } from "vitest";
import { mergeResults, resultFile } from "../../bench/result-file.ts";
import { made, timing } from "./made.ts";

const kernels = made({ cases: { "matmul 64x64x64": 2 }, date: "2025-01-01T00:00:00.000Z", ceilings: { copyGBps: 10, fmaGFlops: 50 } });
const train = made({
  cases: { "train x B1": 3 },
  date: "2025-01-02T00:00:00.000Z",
  ceilings: { copyGBps: 8, fmaGFlops: 100 },
  absent: { torch: "no PyTorch" },
});

test("suites become one file: all cases, the highest ceilings, shares of those, the latest date", () => {
  const all = mergeResults([train, kernels]);
  expect(all.cases.map((c) => c.name)).toEqual(["train x B1", "matmul 64x64x64"]);
  expect(all.ceilings).toEqual({ copyGBps: 10, fmaGFlops: 100 });
  expect(all.date).toBe("2025-01-02T00:00:00.000Z");
  expect(all.absent).toEqual({ torch: "no PyTorch" });
  // 1e9 FLOPs at 100 GFLOP/s are 10 ms; it took 20.
  expect(all.cases[1]!.peakFraction).toBe(0.5);
  expect(all.seconds).toBe(120);
  expect(mergeResults([kernels])).toEqual({ ...kernels, cases: [{ ...kernels.cases[0]!, peakFraction: 1 }] });
});

test("a rival that was absent only here is not absent from the whole", () => {
  const with_ = { ...kernels, rivalFlags: { ...kernels.rivalFlags, torch: { threads: 2 } } };
  expect(mergeResults([train, with_]).absent).toEqual({});
});

test("results of another commit, place or adapter, a case twice, and two versions of a rival are refused", () => {
  expect(() => mergeResults([kernels, { ...train, commit: "bbb" }])).toThrow(/expected results of .*commit aaa, got one of .*commit bbb/);
  expect(() => mergeResults([kernels, { ...train, where: "chromium" }])).toThrow(/in chromium/);
  expect(() => mergeResults([kernels, { ...train, adapter: { ...train.adapter, device: "other" } }])).toThrow(/other/);
  expect(() => mergeResults([kernels, kernels])).toThrow(`expected every case once, got "matmul 64x64x64" twice`);
  expect(() => mergeResults([kernels, { ...train, versions: { ...train.versions, tfjs: "9" } }])).toThrow(
    /one version of tfjs, got "4.22.0" and "9"/,
  );
});

test("a file is what bench wrote, or refused by its name", () => {
  const read = (change: object) => resultFile(JSON.parse(JSON.stringify({ ...kernels, ...change })), "a.json");
  const [one] = kernels.cases;
  const wrong = (where: string) => `a.json: no result of the benchmark (bench --json): ${where}: `;
  expect(read({})).toEqual(kernels);
  expect(() => resultFile([], "a.json")).toThrow(`${wrong("content")}expected an object, got []`);
  expect(() => read({ cases: [{ ...one, ours: {} }] })).toThrow(`${wrong("cases.0.ours")}expected times, or an error, got an object`);
  expect(() => read({ cases: [{ ...one, ours: timing(1), paired: undefined }] })).toThrow(wrong("cases.0.paired"));
  expect(() => read({ cases: [{ ...one, difference: "much" }] })).toThrow(wrong("cases.0.difference"));
  expect(() => read({ cases: [{ ...one, rivals: { tfjs: timing(0) } }] })).toThrow(wrong("cases.0.rivals.tfjs.medianMs"));
  expect(() => read({ ceilings: undefined })).toThrow(wrong("ceilings"));
});

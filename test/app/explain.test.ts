/** What is said of a case's figure: what was measured or counted, and where it was not. */
import { describe, expect, test } from "vitest";
import { explain } from "../../app/bench-report/explain.ts";
import { made, timing } from "../bench/made.ts";

const result = made({ cases: { "matmul 64x64x64": 1 } }); // 20 ms, 1e9 FLOP, 1e8 bytes; the adapter does 100 GFLOP/s and 10 GB/s
const one = result.cases[0]!;
const said = (change: Partial<typeof one>) => Object.fromEntries(explain({ ...one, ...change }, result.ceilings));

describe("explain this figure", () => {
  test("all that was measured and counted", () => {
    expect(said({})).toEqual({
      Time: "20.0 ms a run, median of 20 samples of 4 runs; a quarter below 19.0 ms, a quarter above 22.0 ms.",
      Launches: "3 kernels in one run, counted.",
      Arithmetic: "1.00 GFLOP by the shapes, two for each multiply-add; that makes 50.0 GFLOP/s.",
      Memory: "100 MB by the shapes, every array once per pass; that makes 5.00 GB/s. What caches saved or repeated is not measured.",
      "Share of the roofline":
        "50.0 %: 10.0 ms is what the adapter needs at best, bound by its arithmetic at 100 GFLOP/s, as measured in the same sitting.",
      "On the GPU":
        "16.0 ms in kernels by the GPU's own clock, each launch in a pass of its own; 4.00 ms (20 %) outside of them: submitting, waiting, and gaps between launches.",
      JavaScript: "the thread is busy for 0.0500 ms a run, measured while the GPU was idle.",
      "First run": "200 ms from nothing: upload, pipelines, the first result.",
      "Memory held": "1.05 MB on the device, by the library's own account.",
    });
  });

  test("what was not measured or counted", () => {
    const { gpuMs: _g, launches: _l, threadMs: _t, memoryBytes: _m, ...bare } = timing(20);
    const lines = said({ ours: bare, flops: 0, bytes: 0 });
    expect(lines["Launches"]).toBe("not counted in this result.");
    expect(lines["Arithmetic"]).toMatch(/^not counted/);
    expect(lines["Memory"]).toMatch(/^not counted/);
    expect(lines["Share of the roofline"]).toBe("not told: no work is counted.");
    expect(lines["On the GPU"]).toMatch(/^not measured, so the time outside of kernels is not known/);
    expect(lines["JavaScript"]).toBe("not measured.");
    expect(lines["Memory held"]).toBe("not counted.");
  });

  test("bound by memory, beyond what a copy reaches, and kernels that take the whole run", () => {
    const lines = said({ bytes: 4e8, ours: { ...timing(20), gpuMs: 21 } });
    expect(lines["Share of the roofline"]).toMatch(/^200 %/);
    expect(lines["Share of the roofline"]).toContain("its memory at 10.0 GB/s");
    expect(lines["Share of the roofline"]).toContain("More than all");
    expect(lines["On the GPU"]).toContain("too little to be told");
  });

  test("a case that failed says why", () => {
    expect(said({ ours: { error: "device lost" } })).toEqual({ Time: "not measured: device lost" });
  });
});

/** Made-up results of the benchmark, for the tests of what reads them. */
import type { ResultFile } from "../../bench/result-file.ts";
import type { Timing } from "../../bench/run.ts";

export const timing = (ms: number): Timing => ({
  medianMs: ms,
  minMs: 0.9 * ms,
  maxMs: 1.2 * ms,
  q1Ms: 0.95 * ms,
  q3Ms: 1.1 * ms,
  runs: 20,
  runsPerSample: 4,
  firstMs: 10 * ms,
  drift: 1,
  drifted: false,
  gpuMs: 0.8 * ms,
  launches: 3,
  threadMs: 0.05,
  memoryBytes: 2 ** 20,
});

export interface Made {
  /** Cases with how many times longer tfjs takes; ours always takes 20 ms for 1e9 FLOPs and 1e8 bytes. */
  readonly cases: Readonly<Record<string, number>>;
  readonly date?: string;
  readonly commit?: string;
  readonly ceilings?: ResultFile["ceilings"];
  readonly absent?: ResultFile["absent"];
  readonly adapter?: Partial<ResultFile["adapter"]>;
}

export function made({
  cases,
  date = "2025-01-01T00:00:00.000Z",
  commit = "aaa",
  ceilings = { copyGBps: 10, fmaGFlops: 100 },
  absent = {},
  adapter = {},
}: Made): ResultFile {
  return {
    adapter: {
      vendor: "acme",
      architecture: "rocket",
      device: "one",
      description: "Acme Rocket One",
      software: true,
      features: ["shader-f16"],
      toggles: [],
      ...adapter,
    },
    where: "node",
    commit,
    date,
    seconds: 60,
    versions: { "tessera-gpu": "0.1.0", tfjs: "4.22.0" },
    rivalFlags: { tfjs: { backend: "webgpu" } },
    absent,
    limits: { samples: 7, seconds: 3, atMostSeconds: 45, sampleMs: 10 },
    ceilings,
    cases: Object.entries(cases).map(([name, ratio]) => ({
      name,
      suite: name.startsWith("train") ? "train" : /linear/.test(name) ? "scaling" : "kernels",
      dtype: "f32",
      flops: 1e9,
      bytes: 1e8,
      ours: timing(20),
      rivals: { tfjs: timing(20 * ratio), ort: { error: "it cannot" } },
      ratio: { tfjs: ratio },
      paired: { tfjs: { ratio, low: ratio * 0.98, high: ratio * 1.02 } },
      ratioRange: { tfjs: [ratio * 0.9, ratio * 1.1] },
      difference: 1e-6,
      tolerance: 1e-4,
      toleranceReason: "sums in another order",
      gflops: 50,
      gbps: 5,
      peakFraction: 0.5,
    })),
  };
}

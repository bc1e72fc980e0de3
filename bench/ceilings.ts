/**
 * How fast the adapter is at best, by two kernels that do nothing else: one copies, one multiplies and adds in registers.
 * The share of min(arithmetic, memory) that a case reaches is the roofline of Williams et al. 2009,
 * https://doi.org/10.1145/1498765.1498785. Sizes that fit a cache may read faster than memory does: shares above 1.
 */
import { defineKernel } from "../engine/kernel.ts";
import { record } from "../engine/plan.ts";
import { Tensor } from "../engine/tensor.ts";
import type { Adapter } from "./benchmark.ts";
import { median, round } from "./stats.ts";

export interface Ceilings {
  /** Bytes read and bytes written, together. */
  readonly copyGBps: number;
  /** Two per multiply-add, f32. */
  readonly fmaGFlops: number;
}

const WG = 64;
// 1.24 times as fast as 64 on an H200 (bench/gpu, step rows).
const COPY_WG = 256;

const copyKernel = defineKernel({
  name: "ceiling.copy",
  inputs: { x: "vec4f" },
  outputs: { y: "vec4f" }, // (n) each
  params: { n4: "u32" },
  workgroup: COPY_WG,
  code: /* wgsl */ `
    let i = group * WG + li;
    if (i < p.n4) { y[i] = x[i]; }`,
});

/** Chains that do not wait for each other: enough to fill a pipeline, few enough for the registers. */
const CHAINS = 12;
const chain = (line: (c: string) => string): string => Array.from({ length: CHAINS }, (_, i) => line(`c${i}`)).join(" ");

const fmaKernel = defineKernel({
  name: "ceiling.fma",
  inputs: { x: "f32" },
  outputs: { y: "f32" }, // (2), (threads)
  constants: { ROUNDS: "u32" },
  workgroup: WG,
  code: /* wgsl */ `
    let a = x[0];
    let b = x[1];
    ${chain((c) => `var ${c} = f32(li) + ${c.slice(1)}.0;`)}
    for (var r = 0u; r < ROUNDS; r++) { ${chain((c) => `${c} = fma(${c}, a, b);`)} }
    y[group * WG + li] = ${Array.from({ length: CHAINS }, (_, i) => `c${i}`).join(" + ")};`,
});

/** Measures both ceilings of the current device: the best of some runs. A software adapter gets less to do. */
export async function measureCeilings(set: Adapter, now: () => number = () => performance.now()): Promise<Ceilings> {
  const n = set === "gpu" ? 2 ** 25 : 2 ** 22; // 128 and 16 MiB, in and out each
  const x = Tensor.zeros([n]);
  const copy = await best(() => copyKernel({ inputs: { x }, outputs: { y: [n] }, params: { n4: n / 4 }, threads: n / 4 }).y, now);
  x.dispose();
  const [threads, ROUNDS] = set === "gpu" ? [2 ** 20, 2048] : [2 ** 13, 1024];
  const ab = Tensor.from(new Float32Array([0.5, 1]), [2]);
  const fma = await best(
    () => fmaKernel({ inputs: { x: ab }, outputs: { y: [threads] }, constants: { ROUNDS }, groups: threads / WG }).y,
    now,
  );
  ab.dispose();
  return { copyGBps: round((2 * 4 * n) / copy / 1e6), fmaGFlops: round((2 * CHAINS * ROUNDS * threads) / fma / 1e6) };
}

/** ms of one run: the least of medians, for a ceiling is what the adapter can do when nobody disturbs it. */
async function best(launch: () => Tensor, now: () => number): Promise<number> {
  const plan = await record(launch);
  const timed = async (times: number): Promise<number> => {
    const from = now();
    for (let i = 0; i < times; i++) plan.run();
    await plan.idle();
    return (now() - from) / times;
  };
  await timed(1);
  const times = Math.max(1, Math.ceil(20 / Math.max(0.01, await timed(1))));
  const medians: number[] = [];
  for (let i = 0; i < 3; i++) medians.push(median([await timed(times), await timed(times), await timed(times)]));
  plan.dispose();
  return Math.min(...medians);
}

/** The share of what the adapter could do that `ms` reaches, for so much work; `null` where none is counted. */
export function peakFraction({ copyGBps, fmaGFlops }: Ceilings, flops: number, bytes: number, ms: number): number | null {
  const least = Math.max(flops / fmaGFlops, bytes / copyGBps) / 1e6;
  return least > 0 ? round(least / ms) : null;
}

/**
 * Stochastic depth: drops a residual branch for whole samples.
 *
 *   y = x * f,   f = keep / (1 - rate),   keep = 1 where u >= rate, u uniform in [0, 1)      dx = dy * f
 *
 * u is Philox's with key (seed, stream) and counter (sample, 0, step, 0): backward can draw the same numbers again. Ops that share a
 * seed and a step take different streams. A model's branches get their factors f from one launch, and the layers that end
 * them apply those (`linear.ts`, `mlp.ts`).
 *
 * Huang et al. 2016, https://arxiv.org/abs/1603.09382, as timm's `drop_path` scales it
 */
import { defineOp } from "../engine/autograd.ts";
import { defineKernel, kernelFamily } from "../engine/kernel.ts";
import { philoxWgsl } from "./shared/random.ts";
import type { Scalar } from "./shared/scalars.ts";
import { show } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";
import { scaleSamples } from "./shared/sample-factors.ts";

interface Draws {
  readonly seed: Scalar;
  readonly step: Scalar;
}

export interface DropPathOptions extends Draws {
  /** Probability that a sample is dropped, in [0, 1). */
  readonly rate: number;
  /** A u32 that no other op uses with the same seed. */
  readonly stream: number;
}

const WG = 256;

function checkRate(name: string, rate: number): void {
  if (!(rate >= 0 && rate < 1)) throw new Error(`${name}: expected a rate in [0, 1), got ${rate}`);
}

// One thread per factor.
const factorsKernel = kernelFamily(({ rates }: { rates: readonly number[] }) =>
  defineKernel({
    name: "dropPath.factors",
    inputs: { seeds: "u32", steps: "u32" }, // of scalars
    outputs: { y: "f32" }, // (streams, B)
    params: { B: "u32", first: "u32", seed_at: "u32", step_at: "u32" },
    workgroup: { upTo: WG },
    helpers: `const RATES = array<f32, ${rates.length}>(${rates.map((r) => `f32(${Math.fround(r)})`)});
const SCALES = array<f32, ${rates.length}>(${rates.map((r) => `f32(${Math.fround(1 / (1 - r))})`)});${philoxWgsl}`,
    code: /* wgsl */ `
    let i = group * WG + li;
    if (i < ${rates.length}u * p.B) {
      let branch = i / p.B;
      let u = to_uniform(philox(vec4u(i % p.B, 0u, steps[p.step_at], 0u), vec2u(seeds[p.seed_at], p.first + branch)).x);
      y[i] = select(0.0, SCALES[branch], u >= RATES[branch]);
    }`,
  }),
);

function drawFactors(rates: readonly number[], first: number, B: number, { seed, step }: Draws): Tensor {
  return factorsKernel({ rates })({
    inputs: { seeds: seed.tensor, steps: step.tensor },
    outputs: { y: [rates.length, B] },
    params: { B, first, seed_at: seed.at, step_at: step.at },
    threads: rates.length * B,
  }).y;
}

const dropPathOp = defineOp({
  name: "dropPath",
  forward([x]: [Tensor], options: DropPathOptions) {
    const factors = { tensor: drawFactors([options.rate], options.stream, x.shape[0]!, options), at: 0 };
    return { y: scaleSamples(x, factors), saved: factors };
  },
  backward: (dy, factors) => [scaleSamples(dy, factors)],
});

/** x: (B, ...). Returns x with whole samples zeroed and the others scaled up; x itself at rate 0. */
export function dropPath(x: Tensor, options: DropPathOptions): Tensor {
  const { rate, stream } = options;
  checkRate("dropPath", rate);
  if (!Number.isInteger(stream) || stream < 0 || stream >= 2 ** 32) throw new Error(`dropPath: expected a u32 for stream, got ${stream}`);
  if (x.shape.length === 0) throw new Error(`dropPath: expected x [B,...], got ${show(x.shape)}`);
  return rate === 0 ? x : dropPathOp([x], options);
}

/** For each of `rates` the factors of B samples, of streams 0, 1, … in order: (rates, B). For `linear` and `mlp`. */
export function dropPathFactors(rates: readonly number[], B: number, draws: Draws): Tensor {
  for (const rate of rates) checkRate("dropPathFactors", rate);
  return drawFactors(rates, 0, B, draws);
}

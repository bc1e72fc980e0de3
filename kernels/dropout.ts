/**
 * Dropout: zeroes single elements and scales up the others.
 *
 *   y = x * keep / (1 - rate),   keep = 1 where u >= rate, u uniform in [0, 1)      dx = dy * keep / (1 - rate)
 *
 * Saves nothing: backward draws the same u again, from Philox with key (seed, stream) and counter (block, 0, step, 0); a
 * block is four elements. Srivastava et al. 2014, https://jmlr.org/papers/v15/srivastava14a.html
 */
import { defineOp } from "../engine/autograd.ts";
import { defineKernel, kernelFamily } from "../engine/kernel.ts";
import { philoxWgsl } from "./shared/random.ts";
import type { Scalar } from "./shared/scalars.ts";
import type { Tensor } from "../engine/tensor.ts";

export interface DropoutOptions {
  /** Share of elements dropped, in [0, 1). */
  readonly rate: number;
  readonly seed: Scalar;
  readonly step: Scalar;
  /** A u32 that no other layer uses with the same seed and step. */
  readonly stream: number;
}

const WG = 256;

// One thread per block of four elements: one draw. With `whole`, x is whole blocks.
const kernel = kernelFamily(({ whole }: { readonly whole: boolean }) =>
  defineKernel({
    name: "dropout",
    inputs: { x: whole ? "vec4f" : "f32", seeds: "u32", steps: "u32" }, // (N), 2 of scalars
    outputs: { y: whole ? "vec4f" : "f32" }, // (N)
    params: { n: "u32", rate: "f32", scale: "f32", seed_at: "u32", step_at: "u32", stream: "u32" },
    workgroup: { upTo: WG },
    helpers: philoxWgsl,
    code: /* wgsl */ `
    let block = group * WG + li;
    if (block * 4u >= p.n) { return; }
    let u = philox(vec4u(block, 0u, steps[p.step_at], 0u), vec2u(seeds[p.seed_at], p.stream));
    ${
      whole
        ? "y[block] = select(vec4f(), x[block] * p.scale, vec4f(to_uniform(u.x), to_uniform(u.y), to_uniform(u.z), to_uniform(u.w)) >= vec4f(p.rate));"
        : `
    for (var k = 0u; k < 4u; k++) {
      let i = block * 4u + k;
      if (i < p.n) { y[i] = select(0.0, x[i] * p.scale, to_uniform(u[k]) >= p.rate); }
    }`
    }`,
  }),
);

const launch = (x: Tensor, { rate, seed, step, stream }: DropoutOptions): Tensor =>
  kernel({ whole: x.size % 4 === 0 })({
    inputs: { x, seeds: seed.tensor, steps: step.tensor },
    outputs: { y: x },
    params: { n: x.size, rate, scale: 1 / (1 - rate), seed_at: seed.at, step_at: step.at, stream },
    threads: x.size / 4,
  }).y;

const op = defineOp({
  name: "dropout",
  forward: ([x]: [Tensor], options: DropoutOptions) => ({ y: launch(x, options), saved: null }),
  backward: (dy, _, __, options) => [launch(dy, options)],
});

/** x: (...). Returns (...); x itself at rate 0. */
export function dropout(x: Tensor, options: DropoutOptions): Tensor {
  if (!(options.rate >= 0 && options.rate < 1)) throw new Error(`dropout: expected a rate in [0, 1), got ${options.rate}`);
  return options.rate === 0 ? x : op([x], options);
}

/**
 * Stochastic depth: a residual branch left out for whole samples; and dropout, for single elements.
 *
 *   y = x * keep / (1 - rate),   keep = 1 where u >= rate, u uniform in [0, 1)      dx = dy * keep / (1 - rate)
 *
 * Nothing is saved: backward draws the same u again, Philox with key (seed, stream) and counter (sample or block of four
 * elements, 0, step, 0). Ops that share a seed and a step take different streams.
 *
 * Huang et al. 2016, https://arxiv.org/abs/1603.09382, as timm's `drop_path` scales it; Srivastava et al. 2014,
 * https://jmlr.org/papers/v15/srivastava14a.html
 */
import { defineOp } from "../engine/autograd.ts";
import { defineKernel, kernelFamily } from "../engine/kernel.ts";
import { philoxWgsl } from "../engine/random.ts";
import type { Scalar } from "../engine/scalars.ts";
import { sameShape, show } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";

export interface DropOptions {
  /** Chance to be dropped, in [0, 1). */
  readonly rate: number;
  readonly seed: Scalar;
  readonly step: Scalar;
  /** A u32 of this op's own. */
  readonly stream: number;
}

const WG = 64;
const PER = 8; // vectors per thread: a draw costs some hundred operations
const RANDOM = { rate: "f32", scale: "f32", seed_at: "u32", step_at: "u32", stream: "u32" } as const;
const DRAW = (block: string) => `philox(vec4u(${block}, 0u, steps[p.step_at], 0u), vec2u(seeds[p.seed_at], p.stream))`;

const random = ({ rate, seed, step, stream }: DropOptions) => ({ rate, scale: 1 / (1 - rate), seed_at: seed.at, step_at: step.at, stream });

function check(name: string, { rate, stream }: DropOptions): void {
  if (!(rate >= 0 && rate < 1)) throw new Error(`${name}: expected a rate in [0, 1), got ${rate}`);
  if (!Number.isInteger(stream) || stream < 0 || stream >= 2 ** 32) throw new Error(`${name}: expected a u32 for stream, got ${stream}`);
}

// A workgroup takes WG * PER vectors of one sample.
const dropPathKernel = kernelFamily(({ adds, W }: { adds: boolean; W: 1 | 4 }) => {
  const T = W === 4 ? "vec4f" : "f32";
  return defineKernel({
    name: adds ? "dropPathAdd" : "dropPath",
    inputs: { branch: T, seeds: "u32", steps: "u32", ...(adds ? { x: T } : {}) } as Record<string, "vec4f" | "f32" | "u32">, // (B, ...), 2 of scalars, (B, ...)
    outputs: { y: T }, // (B, ...)
    params: { ...RANDOM, len: "u32", chunks: "u32" },
    workgroup: WG,
    helpers: philoxWgsl,
    code: /* wgsl */ `
    let sample = group / p.chunks;
    let first = group % p.chunks * ${WG * PER}u + li;
    let factor = select(0.0, p.scale, to_uniform(${DRAW("sample")}.x) >= p.rate);
    for (var k = 0u; k < ${PER}u; k++) {
      let i = first + k * ${WG}u;
      if (i < p.len) {
        let at = sample * p.len + i;
        y[at] = ${adds ? "x[at] + " : ""}branch[at] * factor;
      }
    }`,
  });
});

function launchDropPath(branch: Tensor, x: Tensor | null, options: DropOptions): Tensor {
  const size = branch.size / branch.shape[0]!;
  const W = size % 4 === 0 ? 4 : 1;
  const len = size / W;
  const chunks = Math.ceil(len / (WG * PER));
  return dropPathKernel({ adds: x !== null, W })({
    inputs: { branch, seeds: options.seed.tensor, steps: options.step.tensor, ...(x ? { x } : {}) }, outputs: { y: branch.shape },
    params: { ...random(options), len, chunks }, groups: branch.shape[0]! * chunks,
  }).y;
}

const dropPathOp = defineOp({
  name: "dropPath",
  forward: ([x]: [Tensor], options: DropOptions) => ({ y: launchDropPath(x, null, options), saved: null }),
  backward: (dy, _, __, options) => [launchDropPath(dy, null, options)],
});

const dropPathAddOp = defineOp({
  name: "dropPathAdd",
  forward: ([x, branch]: [Tensor, Tensor], options: DropOptions) => ({ y: launchDropPath(branch, x, options), saved: null }),
  backward: (dy, _, __, options, needs) => [dy, !needs[1] ? null : options.rate === 0 ? dy : launchDropPath(dy, null, options)],
});

// One thread per four elements: one draw.
const dropoutKernel = defineKernel({
  name: "dropout",
  inputs: { x: "f32", seeds: "u32", steps: "u32" },
  outputs: { y: "f32" },
  params: { ...RANDOM, n: "u32" },
  workgroup: WG,
  helpers: philoxWgsl,
  code: /* wgsl */ `
    let block = group * WG + li;
    let u = ${DRAW("block")};
    for (var k = 0u; k < 4u; k++) {
      let i = block * 4u + k;
      if (i < p.n) { y[i] = select(0.0, x[i] * p.scale, to_uniform(u[k]) >= p.rate); }
    }`,
});

const launchDropout = (x: Tensor, options: DropOptions): Tensor => dropoutKernel({
  inputs: { x, seeds: options.seed.tensor, steps: options.step.tensor }, outputs: { y: x.shape },
  params: { ...random(options), n: x.size }, groups: Math.ceil(x.size / 4 / WG),
}).y;

const dropoutOp = defineOp({
  name: "dropout",
  forward: ([x]: [Tensor], options: DropOptions) => ({ y: launchDropout(x, options), saved: null }),
  backward: (dy, _, __, options) => [launchDropout(dy, options)],
});

/** x: (B, ...). Returns x with whole samples zeroed and the others scaled up; x itself at rate 0. */
export function dropPath(x: Tensor, options: DropOptions): Tensor {
  check("dropPath", options);
  if (x.shape.length === 0) throw new Error(`dropPath: expected x [B,...], got ${show(x.shape)}`);
  return options.rate === 0 ? x : dropPathOp([x], options);
}

/** x, branch: (B, ...). Returns x + dropPath(branch). */
export function dropPathAdd(x: Tensor, branch: Tensor, options: DropOptions): Tensor {
  check("dropPathAdd", options);
  if (x.shape.length === 0 || !sameShape(x.shape, branch.shape)) throw new Error(`dropPathAdd: expected x and branch of one shape [B,...], got ${show(x.shape)} and ${show(branch.shape)}`);
  return dropPathAddOp([x, branch], options);
}

/** x: (...). Returns x with elements zeroed and the others scaled up; x itself at rate 0. */
export function dropout(x: Tensor, options: DropOptions): Tensor {
  check("dropout", options);
  return options.rate === 0 ? x : dropoutOp([x], options);
}

/**
 * Stochastic depth: a residual branch is dropped for whole samples, and scaled where it is kept.
 *
 *   y = x + branch * keep[b] / (1 - rate),   keep[b] = 1 with probability 1 - rate, else 0
 *
 *   dx = dy,   dbranch = dy * keep[b] / (1 - rate)
 *
 * keep[b] is made again from (seed, stream, b, step) wherever it is needed. Huang et al. 2016, https://arxiv.org/abs/1603.09382
 */
import { defineOp } from "../engine/autograd.ts";
import { defineKernel } from "../engine/kernel.ts";
import { philoxWgsl } from "../engine/random.ts";
import type { Scalar } from "../engine/scalars.ts";
import { sameShape, show } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";

export interface DropPathOptions {
  /** Share of samples whose branch is dropped, in [0, 1). */
  readonly rate: number;
  /** Both in one tensor; u32. */
  readonly seed: Scalar;
  readonly step: Scalar;
  /** Tells apart the branches of a model. */
  readonly stream: number;
}

const WG = 64;

const common = {
  constants: { SEED: "u32", STEP: "u32", STREAM: "u32", RATE: "f32" },
  params: { n: "u32", per: "u32" }, // elements in all, and per sample
  workgroup: WG,
  helpers: philoxWgsl,
} as const;

/** `keep`: the branch's factor for the sample that element i belongs to. */
const keep = /* wgsl */ `
    let i = group * WG + li;
    if (i >= p.n) { return; }
    let u = to_uniform(philox(vec4u(i / p.per, 0u, scalars[STEP], 0u), vec2u(scalars[SEED], STREAM)).x);
    let keep = select(0.0, 1.0 / (1.0 - RATE), u >= RATE);`;

// One thread per element.
const scaleKernel = defineKernel({ ...common, name: "dropPath.scale", inputs: { x: "f32", scalars: "u32" }, outputs: { y: "f32" }, code: `${keep} y[i] = x[i] * keep;` });
const addKernel = defineKernel({ ...common, name: "dropPath.add", inputs: { x: "f32", branch: "f32", scalars: "u32" }, outputs: { y: "f32" }, code: `${keep} y[i] = x[i] + branch[i] * keep;` });

function launch(x: Tensor, { rate, seed, step, stream }: DropPathOptions) {
  return {
    constants: { SEED: seed.at, STEP: step.at, STREAM: stream, RATE: rate },
    params: { n: x.size, per: x.size / x.shape[0]! },
    groups: Math.ceil(x.size / WG),
  };
}

function check(name: string, { rate, seed, step }: DropPathOptions): void {
  if (!(rate >= 0 && rate < 1)) throw new Error(`${name}: expected a rate in [0, 1), got ${rate}`);
  if (seed.tensor !== step.tensor) throw new Error(`${name}: expected seed and step in one tensor, got two`);
}

const scaled = (x: Tensor, o: DropPathOptions): Tensor => scaleKernel({ ...launch(x, o), inputs: { x, scalars: o.seed.tensor }, outputs: { y: x.shape } }).y;

const dropOp = defineOp({
  name: "dropPath",
  forward: ([x]: [Tensor], o: DropPathOptions) => ({ y: scaled(x, o), saved: null }),
  backward: (dy, _, __, o) => [scaled(dy, o)],
});

const addOp = defineOp({
  name: "dropPathAdd",
  forward([x, branch]: [Tensor, Tensor], o: DropPathOptions) {
    if (!sameShape(x.shape, branch.shape)) throw new Error(`dropPathAdd: expected x and branch of one shape, got ${show(x.shape)} and ${show(branch.shape)}`);
    return { y: addKernel({ ...launch(x, o), inputs: { x, branch, scalars: o.seed.tensor }, outputs: { y: x.shape } }).y, saved: null };
  },
  backward: (dy, _, __, o) => [dy, scaled(dy, o)],
});

/** x: (B, ...). Returns x with some samples zero and the others scaled by 1 / (1 - rate). */
export function dropPath(x: Tensor, options: DropPathOptions): Tensor {
  check("dropPath", options);
  return options.rate === 0 ? x : dropOp([x], options);
}

/** x and branch: (B, ...). Returns x + dropPath(branch). */
export function dropPathAdd(x: Tensor, branch: Tensor, options: DropPathOptions): Tensor {
  check("dropPathAdd", options);
  return addOp([x, branch], options);
}

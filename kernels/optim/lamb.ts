/**
 * LAMB on flat buffers, in place: Adam's direction, scaled for each parameter to that parameter's own norm. It writes the parameters' copy in
 * f16 too, where one is kept.
 *
 *   m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2
 *   u = m / (1 - b1^t) / (sqrt(v) / sqrt(1 - b2^t) + eps) + wd w
 *   w <- w - lr (|w| / |u|) u          the ratio is 1 where either norm is 0, and for parameters without decay
 *
 * You et al. 2020, https://arxiv.org/abs/1904.00962, in timm's form. An update rule: no backward.
 */
import { getDevice } from "../../engine/device.ts";
import { defineKernel, kernelFamily } from "../../engine/kernel.ts";
import type { Scalar } from "../shared/scalars.ts";
import { sameShape, show } from "../../engine/shape.ts";
import type { Tensor } from "../../engine/tensor.ts";
import { FLAT_BLOCK } from "./flat-block.ts";
import { workgroupSum } from "../shared/reduce.ts";

export interface LambOptions {
  /** Number of elements, from the first, that have weight decay, and with it the ratio of norms; a multiple of 4. */
  readonly decayed: number;
  /** u32 (parameters, 2): where each parameter begins and how many elements it has; beginnings are multiples of `FLAT_BLOCK`. */
  readonly segments: Tensor;
  /** u32 (n / FLAT_BLOCK): which parameter each block of elements belongs to. */
  readonly owners: Tensor;
  /** In one tensor, f32. */
  readonly lr: Scalar;
  /** 1 - beta1^t and 1 - beta2^t, computed in f64. */
  readonly bias1: Scalar;
  readonly bias2: Scalar;
  readonly beta1?: number;
  readonly beta2?: number;
  readonly eps?: number;
  readonly weightDecay: number;
  /** `gradNorm`'s result: if it reports gradients that are not finite, nothing changes; others are divided by its scale. */
  readonly finite: Tensor;
  /** Largest norm of all gradients together; larger ones are scaled down to it. */
  readonly clip?: number;
}

const WG = 64;
/** Workgroups that share one parameter's norms; on a processor, where each costs what its barriers take, there is one. */
const partsHere = (): number => (getDevice().adapter.software ? 1 : 16);

// One thread per four elements.
const directionKernel = kernelFamily(({ clipped }: { clipped: boolean }) =>
  defineKernel({
    name: "lamb.direction",
    inputs: { grads: "vec4f", params: "vec4f", scalars: "u32", norm: "f32" }, // (n), (n), (any), (3)
    updates: { m: "vec4f", v: "vec4f" }, // (n) each
    outputs: { u: "vec4f" }, // (n)
    constants: { BIAS1: "u32", BIAS2: "u32" },
    params: { n4: "u32", decayed4: "u32", beta1: "f32", rest1: "f32", beta2: "f32", rest2: "f32", eps: "f32", decay: "f32", clip: "f32" },
    workgroup: WG,
    code: /* wgsl */ `
    let i = group * WG + li;
    if (i >= p.n4) { return; }
    u[i] = vec4f();
    if (norm[1] == 0.0) { return; }
    let g = grads[i] * norm[2]${clipped ? " / max(1.0, norm[0] / p.clip)" : ""};
    let m1 = p.beta1 * m[i] + p.rest1 * g;
    let v1 = p.beta2 * v[i] + p.rest2 * g * g;
    m[i] = m1;
    v[i] = v1;
    let direction = m1 / bitcast<f32>(scalars[BIAS1]) / (sqrt(v1) / sqrt(bitcast<f32>(scalars[BIAS2])) + p.eps);
    u[i] = direction + select(0.0, p.decay, i < p.decayed4) * params[i];`,
  }),
);

// PARTS workgroups per parameter, whose threads take its elements in turn. Between parameters lie zeros.
const partsKernel = defineKernel({
  name: "lamb.parts",
  inputs: { params: "f32", u: "f32", segments: "u32" }, // (n), (n), (S, 2)
  outputs: { parts: "f32" }, // (S, PARTS, 2)
  constants: { PARTS: "u32" },
  workgroup: WG,
  helpers: workgroupSum,
  code: /* wgsl */ `
    let s = group / PARTS;
    let start = segments[2u * s];
    let end = start + segments[2u * s + 1u];
    var w2 = 0.0;
    var u2 = 0.0;
    for (var i = start + (group % PARTS) * WG + li; i < end; i += PARTS * WG) { w2 += params[i] * params[i]; u2 += u[i] * u[i]; }
    w2 = workgroup_sum(w2, li);
    u2 = workgroup_sum(u2, li);
    if (li == 0u) { parts[2u * group] = w2; parts[2u * group + 1u] = u2; }`,
});

// One thread per parameter.
const ratioKernel = defineKernel({
  name: "lamb.ratio",
  inputs: { parts: "f32", segments: "u32" }, // (S, PARTS, 2), (S, 2)
  outputs: { ratio: "f32" }, // (S)
  constants: { PARTS: "u32" },
  params: { count: "u32", adapted: "u32" },
  workgroup: WG,
  code: /* wgsl */ `
    let s = group * WG + li;
    if (s >= p.count) { return; }
    var w2 = 0.0;
    var u2 = 0.0;
    for (var k = 0u; k < PARTS; k++) { w2 += parts[2u * (s * PARTS + k)]; u2 += parts[2u * (s * PARTS + k) + 1u]; }
    ratio[s] = 1.0;
    if (segments[2u * s] < p.adapted && w2 > 0.0 && u2 > 0.0) { ratio[s] = sqrt(w2) / sqrt(u2); }`,
});

// One thread per four elements.
const applyKernel = defineKernel({
  name: "lamb.apply",
  inputs: { u: "vec4f", ratio: "f32", owners: "u32", scalars: "u32" }, // (n), (S), (n / FLAT_BLOCK), (any)
  updates: { params: "vec4f", half: "vec4f?" }, // (n) each
  constants: { LR: "u32", BLOCK4: "u32" },
  params: { n4: "u32" },
  workgroup: WG,
  code: (_, has) => /* wgsl */ `
    let i = group * WG + li;
    if (i >= p.n4) { return; }
    let w = params[i] - bitcast<f32>(scalars[LR]) * ratio[owners[i / BLOCK4]] * u[i];
    params[i] = w;
    ${has.half ? "half[i] = w;" : ""}`,
});

/** All tensors flat and of one length, a multiple of `FLAT_BLOCK`; half: f16, the others f32. Changes params, m, v and half. */
export function lambStep(
  { params, grads, m, v, half }: Readonly<Record<"params" | "grads" | "m" | "v", Tensor>> & { readonly half?: Tensor | undefined },
  o: LambOptions,
): void {
  const { lr, bias1, bias2, beta1 = 0.9, beta2 = 0.999, eps = 1e-6, weightDecay, finite, clip, decayed, segments, owners } = o;
  const n = params.size;
  const [S] = segments.shape as [number];
  for (const [name, t] of Object.entries({ grads, m, v, half }))
    if (t && !sameShape(t.shape, params.shape))
      throw new Error(`lamb: expected ${name} ${show(params.shape)} like the parameters, got ${show(t.shape)}`);
  if (n % FLAT_BLOCK !== 0 || decayed % 4 !== 0)
    throw new Error(`lamb: expected a multiple of ${FLAT_BLOCK} elements and of 4 decayed ones, got ${n} and ${decayed}`);
  if (segments.shape.length !== 2 || segments.shape[1] !== 2 || owners.size !== n / FLAT_BLOCK)
    throw new Error(`lamb: expected segments [S,2] and owners [${n / FLAT_BLOCK}], got ${show(segments.shape)} and ${show(owners.shape)}`);
  if (lr.tensor !== bias1.tensor || lr.tensor !== bias2.tensor)
    throw new Error("lamb: expected lr, bias1 and bias2 in one tensor, got several");
  if (clip !== undefined && !(clip > 0)) throw new Error(`lamb: expected a positive clip, got ${clip}`);
  const n4 = n / 4;
  const { u } = directionKernel({ clipped: clip !== undefined })({
    inputs: { grads, params, scalars: lr.tensor, norm: finite },
    updates: { m, v },
    outputs: { u: [n] },
    constants: { BIAS1: bias1.at, BIAS2: bias2.at },
    params: { n4, decayed4: decayed / 4, beta1, rest1: 1 - beta1, beta2, rest2: 1 - beta2, eps, decay: weightDecay, clip: clip ?? 1 },
    threads: n4,
  });
  const PARTS = partsHere();
  const { parts } = partsKernel({
    inputs: { params, u, segments },
    outputs: { parts: [S, PARTS, 2] },
    constants: { PARTS },
    groups: S * PARTS,
  });
  const { ratio } = ratioKernel({
    inputs: { parts, segments },
    outputs: { ratio: [S] },
    constants: { PARTS },
    params: { count: S, adapted: weightDecay === 0 ? 0 : decayed },
    threads: S,
  });
  applyKernel({
    inputs: { u, ratio, owners, scalars: lr.tensor },
    updates: { params, half },
    constants: { LR: lr.at, BLOCK4: FLAT_BLOCK / 4 },
    params: { n4 },
    threads: n4,
  });
}

/**
 * SGD with momentum on flat buffers, in place, in one launch; with the parameters' copy in f16 where one is kept.
 *
 *   g <- g + wd w;  u <- mu u + g;  w <- w - lr u     (nesterov: w <- w - lr (g + mu u))
 *
 * PyTorch's form (the rate multiplies the velocity; u starts at 0). An update rule: no backward.
 */
import { defineKernel, kernelFamily } from "../../engine/kernel.ts";
import type { Scalar } from "../shared/scalars.ts";
import { sameShape, show } from "../../engine/shape.ts";
import type { Tensor } from "../../engine/tensor.ts";

export interface SgdOptions {
  /** Number of elements, from the first, that have weight decay; a multiple of 4. */
  readonly decayed: number;
  readonly lr: Scalar;
  readonly momentum?: number;
  readonly nesterov?: boolean;
  readonly weightDecay: number;
  /** `gradNorm`'s result: if it reports gradients that are not finite, nothing changes; others are divided by its scale. */
  readonly finite?: Tensor;
  /** Largest norm; gradients are scaled down to it. Needs `finite`. */
  readonly clip?: number;
}

const WG = 256;

// One thread per four elements.
const kernel = kernelFamily(({ clipped, nesterov }: { clipped: boolean; nesterov: boolean }) =>
  defineKernel({
    name: "sgd",
    inputs: { grads: "vec4f", scalars: "u32", norm: "f32?" }, // (n), (any), (3)
    updates: { params: "vec4f", momentum: "vec4f", half: "vec4f?" }, // (n) each
    constants: { LR: "u32" },
    params: { n4: "u32", decayed4: "u32", mu: "f32", decay: "f32", clip: "f32" },
    workgroup: { upTo: WG },
    code: (_, has) => /* wgsl */ `
    let i = group * WG + li;
    if (i >= p.n4${has.norm ? " || norm[1] == 0.0" : ""}) { return; }
    let w = params[i];
    let g = grads[i]${has.norm ? " * norm[2]" : ""}${clipped ? " * min(1.0, p.clip / (norm[0] + 1e-6))" : ""} + select(0.0, p.decay, i < p.decayed4) * w;
    let u = p.mu * momentum[i] + g;
    momentum[i] = u;
    let next = w - bitcast<f32>(scalars[LR]) * ${nesterov ? "(g + p.mu * u)" : "u"};
    params[i] = next;
    ${has.half ? "half[i] = next;" : ""}`,
  }),
);

/** All tensors flat and of one length, a multiple of 4; half: f16, the others f32. Changes params, momentum and half. */
export function sgdStep(
  { params, grads, momentum, half }: Readonly<Record<"params" | "grads" | "momentum", Tensor>> & { readonly half?: Tensor | undefined },
  o: SgdOptions,
): void {
  const { lr, momentum: mu = 0.9, nesterov = false, weightDecay, finite, clip, decayed } = o;
  const n = params.size;
  for (const [name, t] of Object.entries({ grads, momentum, half }))
    if (t && !sameShape(t.shape, params.shape))
      throw new Error(`sgd: expected ${name} ${show(params.shape)} like the parameters, got ${show(t.shape)}`);
  if (n % 4 !== 0 || decayed % 4 !== 0)
    throw new Error(`sgd: expected lengths that are multiples of 4, got ${n} parameters, ${decayed} decayed`);
  if (clip !== undefined && !(finite && clip > 0))
    throw new Error(`sgd: expected a positive clip together with gradNorm's result, got ${clip}${finite ? "" : " alone"}`);
  kernel({ clipped: clip !== undefined, nesterov })({
    inputs: { grads, scalars: lr.tensor, norm: finite },
    updates: { params, momentum, half },
    constants: { LR: lr.at },
    params: { n4: n / 4, decayed4: decayed / 4, mu, decay: weightDecay, clip: clip ?? 0 },
    threads: n / 4,
  });
}

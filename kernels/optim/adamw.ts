/**
 * AdamW on flat buffers, in place, in one launch; with the moving average of the parameters (ema.ts) and their copy in f16 where they are
 * kept.
 *
 *   w <- w (1 - lr wd);  m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2
 *   w <- w - lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps);  ema <- decay ema + (1 - decay) w
 *
 * Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101, in PyTorch's order of operations. An update rule: no backward.
 */
import { defineKernel, kernelFamily } from "../../engine/kernel.ts";
import type { Scalar } from "../shared/scalars.ts";
import { sameShape, show } from "../../engine/shape.ts";
import type { Tensor } from "../../engine/tensor.ts";

export interface AdamWOptions {
  /** Number of elements, from the first, that have weight decay; a multiple of 4. */
  readonly decayed: number;
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
  readonly finite?: Tensor;
  /** Largest norm; gradients are scaled down to it. Needs `finite`. */
  readonly clip?: number;
  /** In the tensor of `lr`. Needs `ema`. */
  readonly emaDecay?: Scalar;
}

const WG = 256;

// One thread per four elements. 1 - beta comes from the host: in f32 the difference would lose four digits.
const kernel = kernelFamily(({ clipped }: { clipped: boolean }) =>
  defineKernel({
    name: "adamw",
    inputs: { grads: "vec4f", scalars: "u32", norm: "f32?" }, // (n), (any), (3)
    updates: { params: "vec4f", m: "vec4f", v: "vec4f", ema: "vec4f?", half: "vec4f?" }, // (n) each
    constants: { LR: "u32", BIAS1: "u32", BIAS2: "u32", DECAY: "u32" },
    params: { n4: "u32", decayed4: "u32", beta1: "f32", rest1: "f32", beta2: "f32", rest2: "f32", eps: "f32", decay: "f32", clip: "f32" },
    workgroup: { upTo: WG },
    code: (_, has) => /* wgsl */ `
    let i = group * WG + li;
    if (i >= p.n4${has.norm ? " || norm[1] == 0.0" : ""}) { return; }
    let lr = bitcast<f32>(scalars[LR]);
    let g = grads[i]${has.norm ? " * norm[2]" : ""}${clipped ? " * min(1.0, p.clip / (norm[0] + 1e-6))" : ""};
    var w = params[i] * (1.0 - lr * select(0.0, p.decay, i < p.decayed4));
    let m1 = p.beta1 * m[i] + p.rest1 * g;
    let v1 = p.beta2 * v[i] + p.rest2 * g * g;
    m[i] = m1;
    v[i] = v1;
    w -= lr / bitcast<f32>(scalars[BIAS1]) * m1 / (sqrt(v1) / sqrt(bitcast<f32>(scalars[BIAS2])) + p.eps);
    params[i] = w;
    ${has.half ? "half[i] = w;" : ""}
    ${has.ema ? "let before = ema[i]; ema[i] = before + (1.0 - bitcast<f32>(scalars[DECAY])) * (w - before);" : ""}`,
  }),
);

/** All tensors flat and of one length, a multiple of 4; half: f16, the others f32. Changes params, m, v, ema and half. */
export function adamwStep(
  {
    params,
    grads,
    m,
    v,
    ema,
    half,
  }: Readonly<Record<"params" | "grads" | "m" | "v", Tensor>> & { readonly ema?: Tensor | undefined; readonly half?: Tensor | undefined },
  o: AdamWOptions,
): void {
  const { lr, bias1, bias2, emaDecay, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weightDecay, finite, clip, decayed } = o;
  const n = params.size;
  for (const [name, t] of Object.entries({ grads, m, v, ema, half }))
    if (t && !sameShape(t.shape, params.shape))
      throw new Error(`adamw: expected ${name} ${show(params.shape)} like the parameters, got ${show(t.shape)}`);
  if (n % 4 !== 0 || decayed % 4 !== 0)
    throw new Error(`adamw: expected lengths that are multiples of 4, got ${n} parameters, ${decayed} decayed`);
  if (!ema !== !emaDecay) throw new Error(`adamw: expected ema and emaDecay together, got ${ema ? "ema" : "emaDecay"} alone`);
  if ([bias1, bias2, emaDecay ?? lr].some(({ tensor }) => tensor !== lr.tensor))
    throw new Error(`adamw: expected lr, bias1${ema ? "," : " and"} bias2${ema ? " and emaDecay" : ""} in one tensor, got several`);
  if (clip !== undefined && !(finite && clip > 0))
    throw new Error(`adamw: expected a positive clip together with gradNorm's result, got ${clip}${finite ? "" : " alone"}`);
  kernel({ clipped: clip !== undefined })({
    inputs: { grads, scalars: lr.tensor, norm: finite },
    updates: { params, m, v, ema, half },
    constants: { LR: lr.at, BIAS1: bias1.at, BIAS2: bias2.at, DECAY: emaDecay?.at ?? 0 },
    params: {
      n4: n / 4,
      decayed4: decayed / 4,
      beta1,
      rest1: 1 - beta1,
      beta2,
      rest2: 1 - beta2,
      eps,
      decay: weightDecay,
      clip: clip ?? 0,
    },
    threads: n / 4,
  });
}

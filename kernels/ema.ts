/** Moving average of parameters: ema <- decay ema + (1 - decay) params, in place. An update rule: no backward. */
import { defineKernel } from "../engine/kernel.ts";
import type { Scalar } from "../engine/scalars.ts";
import { sameShape, show } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";

const WG = 64;

// One thread per element.
const kernel = defineKernel({
  name: "ema",
  inputs: { params: "f32", scalars: "u32", norm: "f32" }, // (n), (any), (2)
  updates: { ema: "f32" }, // (n)
  constants: { AT: "u32" },
  params: { n: "u32" },
  workgroup: WG,
  code: /* wgsl */ `
    let i = group * WG + li;
    if (i >= p.n || norm[1] == 0.0) { return; }
    let decay = bitcast<f32>(scalars[AT]);
    ema[i] = decay * ema[i] + (1.0 - decay) * params[i];`,
});

/** Both flat and of one length. `finite` is `gradNorm`'s result: after a skipped update nothing changes. */
export function emaStep({ ema, params }: Readonly<Record<"ema" | "params", Tensor>>, { decay, finite }: { readonly decay: Scalar; readonly finite: Tensor }): void {
  if (!sameShape(ema.shape, params.shape)) throw new Error(`ema: expected an average ${show(params.shape)} like the parameters, got ${show(ema.shape)}`);
  const n = params.size;
  kernel({ inputs: { params, scalars: decay.tensor, norm: finite }, updates: { ema }, constants: { AT: decay.at }, params: { n }, groups: Math.ceil(n / WG) });
}

/** Moving average of parameters: ema <- decay ema + (1 - decay) params, in place. An update rule: no backward. */
import { defineKernel } from "../../engine/kernel.ts";
import type { Scalar } from "../shared/scalars.ts";
import { sameShape, show } from "../../engine/shape.ts";
import type { Tensor } from "../../engine/tensor.ts";

const WG = 256;

// One thread per four elements. Written as a step towards params, so that the average of equal values stays equal.
const kernel = defineKernel({
  name: "ema",
  inputs: { params: "vec4f", scalars: "u32", norm: "f32?" }, // (n), (any), (3)
  updates: { ema: "vec4f" }, // (n)
  constants: { AT: "u32" },
  params: { n4: "u32" },
  workgroup: { upTo: WG },
  code: (_, has) => /* wgsl */ `
    let i = group * WG + li;
    if (i >= p.n4${has.norm ? " || norm[1] == 0.0" : ""}) { return; }
    ema[i] += (1.0 - bitcast<f32>(scalars[AT])) * (params[i] - ema[i]);`,
});

/** Both flat and of one length, a multiple of 4. `finite` is `gradNorm`'s result: after a skipped update nothing changes. */
export function emaStep(
  { ema, params }: Readonly<Record<"ema" | "params", Tensor>>,
  { decay, finite }: { readonly decay: Scalar; readonly finite?: Tensor },
): void {
  if (!sameShape(ema.shape, params.shape))
    throw new Error(`ema: expected an average ${show(params.shape)} like the parameters, got ${show(ema.shape)}`);
  const n = params.size;
  if (n % 4 !== 0) throw new Error(`ema: expected a length that is a multiple of 4, got ${n}`);
  kernel({
    inputs: { params, scalars: decay.tensor, norm: finite },
    updates: { ema },
    constants: { AT: decay.at },
    params: { n4: n / 4 },
    threads: n / 4,
  });
}

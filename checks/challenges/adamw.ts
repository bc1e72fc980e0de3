import { Tensor } from "../../engine/tensor.ts";
import { mul } from "../../kernels/elementwise.ts";
import { adamwStep } from "../../kernels/optim/adamw.ts";
import type { Scalar } from "../../kernels/shared/scalars.ts";
import type { Challenge } from "../challenge.ts";
import { adamw } from "../reference/optimizers.ts";

const [beta1, beta2, STEP] = [0.9, 0.999, 3];
const constants = { lr: 0.01, beta1, beta2, eps: 1e-8, decay: 0.05, bias1: 1 - beta1 ** STEP, bias2: 1 - beta2 ** STEP } as const;

export const challenge: Challenge = {
  title: "AdamW",
  formula:
    "newM = beta1 m + (1 - beta1) g, newV = beta2 v + (1 - beta2) g^2, newParams = w (1 - lr decay) - lr / bias1 * newM / (sqrt(newV / bias2) + eps), with g = grads, w = params; bias1 and bias2 are 1 - beta^3, those of a third step",
  hint: "Seven arrays pass through each thread for a dozen operations: memory is all that counts. Read and write vec4f (N is a multiple of 4), and let a thread take several. The shipped kernel changes its arrays in place.",
  op: "adamw",
  inputs: { params: "[N]", grads: "[N]", m: "[N]", v: "[N]" },
  outputs: { newParams: "[N]", newM: "[N]", newV: "[N]" },
  constants,
  published: { software: { N: 131072 }, gpu: { N: 4194304 } },
  hidden: { N: [4, 70000, 4] },
  start: /* wgsl */ `// One thread per parameter.

// kernel: reads params, grads, m, v; writes newParams, newM, newV; threads N; workgroup 64
fn main() {
  let i = group * WG + li;
  if (i >= p.N) { return; }
  let g = grads[i];
  let m1 = p.beta1 * m[i] + (1.0 - p.beta1) * g;
  let v1 = p.beta2 * v[i] + (1.0 - p.beta2) * g * g;
  newM[i] = m1;
  newV[i] = v1;
  newParams[i] = params[i] * (1.0 - p.lr * p.decay) - p.lr / p.bias1 * m1 / (sqrt(v1 / p.bias2) + p.eps);
}
`,
  values: { v: (u) => 0.5 + 0.4 * u }, // a mean of squares
  reference({ params, grads, m, v }) {
    const [newParams, newM, newV] = [params!, m!, v!].map((array) => array.slice()) as [Float64Array, Float64Array, Float64Array];
    params!.forEach((w, i) => {
      const after = adamw({ w, m: m![i]!, v: v![i]! }, grads![i]!, STEP, constants);
      [newParams[i], newM[i], newV[i]] = [after.w, after.m, after.v];
    });
    return { newParams, newM, newV };
  },
  shipped(inputs) {
    const one = Tensor.from([1], [1]);
    const [params, m, v] = ["params", "m", "v"].map((name) => mul(inputs[name]!, one)) as [Tensor, Tensor, Tensor];
    const values = Float32Array.of(constants.lr, constants.bias1, constants.bias2);
    const tensor = Tensor.from(new Uint32Array(values.buffer), [3], "u32");
    const [lr, bias1, bias2] = [0, 1, 2].map((at) => ({ tensor, at })) as [Scalar, Scalar, Scalar];
    return () => {
      adamwStep(
        { params, grads: inputs["grads"]!, m, v },
        { ...constants, lr, bias1, bias2, weightDecay: constants.decay, decayed: params.size },
      );
      return { newParams: params, newM: m, newV: v };
    };
  },
};

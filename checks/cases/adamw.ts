import type { Scalar } from "../../kernels/shared/scalars.ts";
import { Tensor } from "../../engine/tensor.ts";
import { mul } from "../../kernels/elementwise.ts";
import { adamwStep } from "../../kernels/optim/adamw.ts";
import { checkOp, type Case } from "../check.ts";
import { buffer, count, fraction, op, positive } from "../op.ts";
import { adamw } from "../reference/optimizers.ts";

interface Settings {
  readonly lr: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly weightDecay: number;
  readonly step: number;
}

type State = Readonly<Record<"params" | "grads" | "m" | "v", Tensor>>;

/** The update in place of copies: parameters and both moments after it. */
function updated({ grads, ...before }: State, { step, ...o }: Settings, decayed: number) {
  const one = Tensor.from([1], [1]);
  const [params, m, v] = [before.params, before.m, before.v].map((t) => mul(t, one)) as [Tensor, Tensor, Tensor];
  const values = Float32Array.of(o.lr, 1 - o.beta1 ** step, 1 - o.beta2 ** step);
  const tensor = Tensor.from(new Uint32Array(values.buffer), [3], "u32");
  const [lr, bias1, bias2] = [0, 1, 2].map((at) => ({ tensor, at })) as [Scalar, Scalar, Scalar];
  adamwStep({ params, grads, m, v }, { ...o, lr, bias1, bias2, decayed });
  return { params, m, v };
}

const reference = (params: Float64Array, grads: Float64Array, m: Float64Array, v: Float64Array, o: Settings, decayed: number) =>
  Array.from(params, (w, i) => {
    const { lr, beta1, beta2, eps } = o;
    return adamw({ w, m: m[i]!, v: v[i]! }, grads[i]!, o.step, { lr, beta1, beta2, eps, decay: i < decayed ? o.weightDecay : 0 });
  });

export const ops = [
  op("adamw", {
    // An update rule: nothing flows back.
    inputs: { params: buffer("[N]"), grads: buffer("[N]"), m: buffer("[N]"), v: buffer("[N]") },
    outputs: "y [N], the parameters after it (N a multiple of 4); m [N], v [N]",
    attrs: {
      lr: positive(1e-3),
      beta1: fraction(0.9),
      beta2: fraction(0.999),
      eps: positive(1e-8),
      weightDecay: fraction(0.05),
      step: count(1),
    },
    run(state, settings) {
      const { params: y, m, v } = updated(state, settings, state.params.size);
      return { y, m, v };
    },
    reference: ({ params, grads, m, v }, _, settings) => reference(params, grads, m, v, settings, params.length).map(({ w }) => w),
    timed: [{ sizes: "1048576" }],
  }),
];

/** Steps so large that each term shows in f32: moments far from zero, decay and both corrections. */
const settings: Settings = { lr: 0.5, beta1: 0.9, beta2: 0.8, eps: 0.1, weightDecay: 0.4, step: 3 };
const n = [4, 60, 1028, 4096];
const half = (N: number): number => Math.floor(N / 8) * 4;

export const cases: Case[] = n.flatMap((N): Case[] =>
  (["params", "m", "v"] as const).map((part) => ({
    name: `adamw: ${part} of ${N}, the first ${half(N)} decayed`,
    run: () =>
      checkOp({
        inputs: [[N], [N], [N], { shape: [N], values: Float64Array.from({ length: N }, (_, i) => 0.1 + ((i * 7) % 11) / 11) }],
        op: (params, grads, m, v) => updated({ params, grads, m, v }, settings, half(N))[part],
        reference: (params, grads, m, v) =>
          reference(params, grads, m, v, settings, half(N)).map((s) => (part === "params" ? s.w : s[part])),
        shape: [N],
        grads: [],
        tol: 2e-6,
      }),
  })),
);

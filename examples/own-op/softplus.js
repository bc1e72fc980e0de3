/**
 * Softplus, a smooth relu, with two kernels to choose from: a thread for each element, or for each four.
 *
 *   y = log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|))        dx = dy / (1 + exp(-x))
 *
 * Dugas et al. 2000, "Incorporating second-order functional knowledge for better option pricing"
 */
import { defineOp } from "tessera-gpu/engine/autograd";
import { defineKernel, kernelFamily } from "tessera-gpu/engine/kernel";
import { chosen } from "tessera-gpu/kernels/shared/tuning";
import { op as describe } from "tessera-gpu/checks/op";

const VARIANTS = ["ones", "fours"];

const kernels = kernelFamily(({ variant }) => {
  const T = variant === "fours" ? "vec4f" : "f32";
  const common = { params: { n: "u32" }, workgroup: 64 };
  return {
    forward: defineKernel({
      ...common,
      name: "softplus.forward",
      inputs: { x: T },
      outputs: { y: T },
      code: `let i = group * WG + li; if (i < p.n) { let v = x[i]; y[i] = max(v, ${T}(0.0)) + log(1.0 + exp(-abs(v))); }`,
    }),
    backward: defineKernel({
      ...common,
      name: "softplus.backward",
      inputs: { x: T, dy: T },
      outputs: { dx: T },
      code: "let i = group * WG + li; if (i < p.n) { dx[i] = dy[i] / (1.0 + exp(-x[i])); }",
    }),
  };
});

const launch = (x, variant) => {
  const n = x.size / (variant === "fours" ? 4 : 1);
  return { ...kernels({ variant }), grid: { params: { n }, threads: n } };
};

const op = defineOp({
  name: "softplus",
  forward([x], { variant }) {
    const { forward, grid } = launch(x, variant);
    return { y: forward({ ...grid, inputs: { x }, outputs: { y: x } }).y, saved: null };
  },
  backward(dy, _, [x], { variant }) {
    const { backward, grid } = launch(x, variant);
    return [backward({ ...grid, inputs: { x, dy }, outputs: { dx: x } }).dx];
  },
});

/** x: (...). Returns (...). `variant`: the one asked for, else the tuned one, else a thread per element. */
export function softplus(x, { variant } = {}) {
  if (variant === "fours" && x.size % 4 !== 0) throw new Error(`softplus: expected a multiple of 4 elements for "fours", got ${x.size}`);
  return op([x], { variant: variant ?? chosen(`softplus ${x.shape.join("x")}`) ?? "ones" });
}

/** What the checker and the tuner need to know of it. */
export const facts = describe("softplus", {
  inputs: { x: "[..]" },
  outputs: "y [..]",
  variants: VARIANTS,
  tuned: "both",
  needs: (variant, { rows }) => (variant === "fours" && rows % 4 !== 0 ? null : {}),
  run: ({ x }, _, variant) => softplus(x, { variant }),
  reference: ({ x }) => x.map((v) => Math.max(v, 0) + Math.log1p(Math.exp(-Math.abs(v)))),
  timed: [{ sizes: "788x768" }],
});

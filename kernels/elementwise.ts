/**
 * Ops that map each element on its own, forward and backward as two WGSL expressions.
 *
 *   unary:  y = f(x)        dx = f'(x) dy
 *   binary: y = f(a, b)     da = sum of f_a dy over the axes along which a was broadcast, db likewise
 *
 * The exact GELU is x * Phi(x) (Hendrycks and Gimpel 2016, https://arxiv.org/abs/1606.08415), not its tanh approximation.
 */
import { defineOp } from "../engine/autograd.ts";
import { defineKernel, kernelFamily } from "../engine/kernel.ts";
import { numel, sameShape, type Shape } from "../engine/shape.ts";
import { broadcastShapes, broadcastStrides, mergedAxes } from "./shared/axes.ts";
import type { Tensor } from "../engine/tensor.ts";
import { geluOf } from "./shared/activations.ts";
import { sumTo } from "./shared/reduce.ts";
import { typeOf, widthFor, type Width } from "./shared/width.ts";

const WG = 256;

/** WGSL for numbers or vectors T. */
type Expr = (T: string) => string;

/* @__NO_SIDE_EFFECTS__ */
function unary(name: string, expr: { readonly y: Expr; readonly dx: Expr; readonly helpers?: Expr }) {
  // One thread per vector.
  const kernels = kernelFamily(({ W }: { readonly W: Width }) => {
    const T = typeOf(W);
    const common = { params: { n: "u32" }, workgroup: { upTo: WG }, helpers: expr.helpers?.(T) ?? "" } as const;
    return {
      forward: defineKernel({
        ...common,
        name: `${name}.forward`,
        inputs: { xs: T },
        outputs: { ys: T },
        code: `let i = group * WG + li; if (i < p.n) { let x = xs[i]; ys[i] = ${expr.y(T)}; }`,
      }),
      backward: defineKernel({
        ...common,
        name: `${name}.backward`,
        inputs: { xs: T, dys: T },
        outputs: { dxs: T },
        code: `let i = group * WG + li; if (i < p.n) { let x = xs[i]; let dy = dys[i]; dxs[i] = ${expr.dx(T)}; }`,
      }),
    };
  });
  const plan = (x: Tensor) => {
    const W = widthFor(x.size),
      n = x.size / W;
    return { ...kernels({ W }), grid: { params: { n }, threads: n } };
  };
  const op = defineOp({
    name,
    forward([x]: [Tensor]) {
      const { forward, grid } = plan(x);
      return { y: forward({ ...grid, inputs: { xs: x }, outputs: { ys: x } }).ys, saved: null };
    },
    backward(dy, _, [x]) {
      const { backward, grid } = plan(x);
      return [backward({ ...grid, inputs: { xs: x, dys: dy }, outputs: { dxs: x } }).dxs];
    },
  });
  return (x: Tensor): Tensor => op([x], null);
}

export const relu = unary("relu", { y: (T) => `max(x, ${T}(0.0))`, dx: (T) => `select(${T}(0.0), dy, x > ${T}(0.0))` });

export const sigmoid = unary("sigmoid", {
  y: () => "1.0 / (1.0 + exp(-x))",
  dx: () => "dy * (1.0 / (1.0 + exp(-x))) * (1.0 / (1.0 + exp(x)))",
});

/** x * sigmoid(x), Elfwing et al. 2018, https://arxiv.org/abs/1702.03118 */
export const silu = unary("silu", { y: () => "x / (1.0 + exp(-x))", dx: () => "dy * (1.0 + x / (1.0 + exp(x))) / (1.0 + exp(-x))" });

/** The exact form, x * Phi(x). */
export const gelu = unary("gelu", { y: () => "gelu(x)", dx: () => "dy * gelu_grad(x)", helpers: geluOf });

const scaleKernel = kernelFamily(({ W }: { readonly W: Width }) =>
  defineKernel({
    name: "scale",
    inputs: { xs: typeOf(W) },
    outputs: { ys: typeOf(W) },
    params: { n: "u32", factor: "f32" },
    workgroup: { upTo: WG },
    code: `let i = group * WG + li; if (i < p.n) { ys[i] = xs[i] * p.factor; }`,
  }),
);

const scaleOp = defineOp({
  name: "scale",
  forward: ([x]: [Tensor], factor: number) => ({ y: scaled(x, factor), saved: null }),
  backward: (dy, _, __, factor) => [scaled(dy, factor)],
});

function scaled(x: Tensor, factor: number): Tensor {
  const W = widthFor(x.size),
    n = x.size / W;
  return scaleKernel({ W })({ inputs: { xs: x }, outputs: { ys: x }, params: { n, factor }, threads: n }).ys;
}

/** x times a number. */
export const scale = (x: Tensor, factor: number): Tensor => scaleOp([x], factor);

/** Largest number of axes, after merging neighbours that broadcast alike. */
const RANK = 4;

/* @__NO_SIDE_EFFECTS__ */
function binary(name: string, expr: { readonly y: string; readonly da: string; readonly db: string }) {
  const at = (index: string, sizes: readonly number[], strides: readonly number[]) => {
    // The flat index split over the axes, innermost first.
    const terms: string[] = [];
    let rest = index;
    for (let i = sizes.length - 1; i >= 0; i--) {
      if (strides[i]! > 0) terms.push(`${i === 0 ? rest : `(${rest} % ${sizes[i]}u)`} * ${strides[i]}u`);
      rest = `(${rest} / ${sizes[i]}u)`;
    }
    return terms.join(" + ") || "0u";
  };
  const kernels = kernelFamily(({ axes, W }: { readonly axes: ReturnType<typeof mergedAxes>; readonly W: Width }) => {
    const T = typeOf(W);
    const inner = axes.at(-1)!;
    const counts = axes.map((axis) => (axis === inner ? axis.size / W : axis.size));
    // Whether operand k (a, b) is not repeated along the innermost axis: it walks that in vectors, and its other steps are counted in them.
    const walks = (k: 0 | 1) => inner.steps[k] === 1;
    const steps = (k: 0 | 1) => axes.map((axis) => (walks(k) && axis.steps[k] !== 1 ? axis.steps[k]! / W : axis.steps[k]!));
    const load = (array: string, k: 0 | 1) =>
      axes.length === 1 && walks(k) ? `${array}[i]` : `${T}(${array}[${at("i", counts, steps(k))}])`;
    const common = { params: { n: "u32" }, workgroup: { upTo: WG } } as const;
    const inputs = { as_: walks(0) ? T : "f32", bs: walks(1) ? T : "f32" } as const;
    const loads = `let a = ${load("as_", 0)}; let b = ${load("bs", 1)};`;
    // d/da or d/db before the sum over broadcast axes.
    const backward = (side: "da" | "db") =>
      defineKernel({
        ...common,
        name: `${name}.${side}`,
        inputs: { ...inputs, dys: T },
        outputs: { ds: T },
        code: `let i = group * WG + li; if (i < p.n) { ${loads} let dy = dys[i]; ds[i] = ${expr[side]}; }`,
      });
    return {
      // One thread per vector of y.
      forward: defineKernel({
        ...common,
        name: `${name}.forward`,
        inputs,
        outputs: { ys: T },
        code: `let i = group * WG + li; if (i < p.n) { ${loads} ys[i] = ${expr.y}; }`,
      }),
      da: backward("da"),
      db: backward("db"),
    };
  });
  const built = (a: Tensor, b: Tensor, shape: Shape) => {
    const axes = mergedAxes(shape, broadcastStrides(a.shape, shape), broadcastStrides(b.shape, shape));
    if (axes.length > RANK)
      throw new Error(`${name}: expected at most ${RANK} groups of axes that broadcast differently, got ${axes.length}`);
    const W = widthFor(axes.at(-1)!.size),
      n = numel(shape) / W;
    return { ...kernels({ axes, W }), grid: { params: { n }, threads: n } };
  };
  const op = defineOp({
    name,
    forward([a, b]: [Tensor, Tensor]) {
      const shape = broadcastShapes(name, a.shape, b.shape);
      const { forward, grid } = built(a, b, shape);
      const { ys } = forward({ ...grid, inputs: { as_: a, bs: b }, outputs: { ys: { shape, dtype: a.dtype } } });
      return { y: ys, saved: null };
    },
    backward(dy, _, [a, b], __, needs) {
      const side = (which: "da" | "db", t: Tensor): Tensor => {
        const plain = expr[which] === "dy";
        const { grid, ...kernel } = built(a, b, dy.shape);
        const d = plain
          ? dy
          : kernel[which]({ ...grid, inputs: { as_: a, bs: b, dys: dy }, outputs: { ds: { shape: dy.shape, dtype: t.dtype } } }).ds;
        return sameShape(d.shape, t.shape) ? d : sumTo(d, t.shape);
      };
      return [needs[0] ? side("da", a) : null, needs[1] ? side("db", b) : null];
    },
  });
  return (a: Tensor, b: Tensor): Tensor => op([a, b], null);
}

/** a + b, NumPy broadcasting. */
export const add = binary("add", { y: "a + b", da: "dy", db: "dy" });

/** (a + b) / 2, NumPy broadcasting. */
export const average = binary("average", { y: "0.5 * (a + b)", da: "0.5 * dy", db: "0.5 * dy" });

/** a * b, NumPy broadcasting. */
export const mul = binary("mul", { y: "a * b", da: "dy * b", db: "dy * a" });

/**
 * Ops that map each element on its own, forward and backward as two WGSL expressions.
 *
 *   unary:  y = f(x)        dx = f'(x) dy
 *   binary: y = f(a, b)     da = sum of f_a dy over the axes along which a was broadcast, db likewise
 *
 * The exact GELU is x * Phi(x) (Hendrycks and Gimpel 2016, https://arxiv.org/abs/1606.08415), not its tanh approximation.
 */
import { defineOp } from "../engine/autograd.ts";
import { defineKernel } from "../engine/kernel.ts";
import { broadcastShapes, broadcastStrides, numel, sameShape, type Shape } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";
import { geluWgsl } from "./math.ts";
import { sumTo } from "./reduce.ts";

const WG = 64;

function unary(name: string, expr: { readonly y: string; readonly dx: string; readonly helpers?: string }) {
  const common = { params: { n: "u32" }, workgroup: WG, helpers: expr.helpers ?? "" } as const;
  // One thread per element.
  const forwardKernel = defineKernel({
    ...common, name: `${name}.forward`, inputs: { xs: "f32" }, outputs: { ys: "f32" },
    code: `let i = group * WG + li; if (i < p.n) { let x = xs[i]; ys[i] = ${expr.y}; }`,
  });
  const backwardKernel = defineKernel({
    ...common, name: `${name}.backward`, inputs: { xs: "f32", dys: "f32" }, outputs: { dxs: "f32" },
    code: `let i = group * WG + li; if (i < p.n) { let x = xs[i]; let dy = dys[i]; dxs[i] = ${expr.dx}; }`,
  });
  const grid = (x: Tensor) => ({ params: { n: x.size }, groups: Math.ceil(x.size / WG) });
  const op = defineOp({
    name,
    forward: ([x]: [Tensor]) => ({ y: forwardKernel({ ...grid(x), inputs: { xs: x }, outputs: { ys: x.shape }, store: { ys: x.dtype } }).ys, saved: null }),
    backward: (dy, _, [x]) => [backwardKernel({ ...grid(x), inputs: { xs: x, dys: dy }, outputs: { dxs: x.shape }, store: { dxs: x.dtype } }).dxs],
  });
  return (x: Tensor): Tensor => op([x], null);
}

export const relu = unary("relu", { y: "max(x, 0.0)", dx: "select(0.0, dy, x > 0.0)" });

export const sigmoid = unary("sigmoid", {
  y: "1.0 / (1.0 + exp(-x))",
  dx: "dy * (1.0 / (1.0 + exp(-x))) * (1.0 / (1.0 + exp(x)))",
});

/** The exact form, x * Phi(x). */
export const gelu = unary("gelu", { y: "gelu(x)", dx: "dy * gelu_grad(x)", helpers: geluWgsl });

const scaleKernel = defineKernel({
  name: "scale", inputs: { xs: "f32" }, outputs: { ys: "f32" }, params: { n: "u32", factor: "f32" }, workgroup: WG,
  code: `let i = group * WG + li; if (i < p.n) { ys[i] = xs[i] * p.factor; }`,
});

const scaleOp = defineOp({
  name: "scale",
  forward: ([x]: [Tensor], factor: number) => ({ y: scaled(x, factor), saved: null }),
  backward: (dy, _, __, factor) => [scaled(dy, factor)],
});

const scaled = (x: Tensor, factor: number): Tensor =>
  scaleKernel({ inputs: { xs: x }, outputs: { ys: x.shape }, store: { ys: x.dtype }, params: { n: x.size, factor }, groups: Math.ceil(x.size / WG) }).ys;

/** x times a number. */
export const scale = (x: Tensor, factor: number): Tensor => scaleOp([x], factor);

/** At most this many axes after neighbours that broadcast alike are merged. */
const RANK = 4;

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
  const kernels = new Map<string, ReturnType<typeof make>>();
  const make = (sizes: readonly number[], sa: readonly number[], sb: readonly number[]) => {
    const same = sizes.length === 1 && sa[0] === 1 && sb[0] === 1;
    const load = same ? "let a = as_[i]; let b = bs[i];" : `let a = as_[${at("i", sizes, sa)}]; let b = bs[${at("i", sizes, sb)}];`;
    const common = { params: { n: "u32" }, workgroup: WG } as const;
    return {
      // One thread per element of y.
      forward: defineKernel({
        ...common, name: `${name}.forward`, inputs: { as_: "f32", bs: "f32" }, outputs: { ys: "f32" },
        code: `let i = group * WG + li; if (i < p.n) { ${load} ys[i] = ${expr.y}; }`,
      }),
      // d/da or d/db before the sum over broadcast axes.
      backward: (side: "da" | "db") => defineKernel({
        ...common, name: `${name}.${side}`, inputs: { as_: "f32", bs: "f32", dys: "f32" }, outputs: { ds: "f32" },
        code: `let i = group * WG + li; if (i < p.n) { ${load} let dy = dys[i]; ds[i] = ${expr[side]}; }`,
      }),
    };
  };
  const built = (a: Tensor, b: Tensor, shape: Shape) => {
    const merged = mergeAxes(shape, broadcastStrides(a.shape, shape), broadcastStrides(b.shape, shape));
    if (merged.sizes.length > RANK) throw new Error(`${name}: expected at most ${RANK} groups of axes that broadcast differently, got ${merged.sizes.length}`);
    const key = JSON.stringify(merged);
    let k = kernels.get(key);
    if (!k) {
      const fresh = make(merged.sizes, merged.a, merged.b);
      const da = fresh.backward("da"), db = fresh.backward("db");
      k = { ...fresh, backward: (side) => (side === "da" ? da : db) };
      kernels.set(key, k);
    }
    return k;
  };
  const op = defineOp({
    name,
    forward([a, b]: [Tensor, Tensor]) {
      const shape = broadcastShapes(name, a.shape, b.shape);
      const n = numel(shape);
      const { ys } = built(a, b, shape).forward({ inputs: { as_: a, bs: b }, outputs: { ys: shape }, store: { ys: a.dtype }, params: { n }, groups: Math.ceil(n / WG) });
      return { y: ys, saved: null };
    },
    backward(dy, _, [a, b], __, needs) {
      const side = (which: "da" | "db", t: Tensor): Tensor => {
        const plain = expr[which] === "dy";
        const d = plain ? dy : built(a, b, dy.shape).backward(which)({
          inputs: { as_: a, bs: b, dys: dy }, outputs: { ds: dy.shape }, store: { ds: t.dtype }, params: { n: dy.size }, groups: Math.ceil(dy.size / WG),
        }).ds;
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
export const mean = binary("mean", { y: "0.5 * (a + b)", da: "0.5 * dy", db: "0.5 * dy" });

/** a * b, NumPy broadcasting. */
export const mul = binary("mul", { y: "a * b", da: "dy * b", db: "dy * a" });

/** Drops axes of length 1 and merges neighbours that both operands walk through alike. */
function mergeAxes(shape: Shape, a: readonly number[], b: readonly number[]) {
  const sizes: number[] = [], ma: number[] = [], mb: number[] = [];
  shape.forEach((size, i) => {
    if (size === 1) return;
    const k = sizes.length - 1;
    if (k >= 0 && ma[k] === a[i]! * size && mb[k] === b[i]! * size) {
      sizes[k]! *= size;
      ma[k] = a[i]!;
      mb[k] = b[i]!;
    } else {
      sizes.push(size);
      ma.push(a[i]!);
      mb.push(b[i]!);
    }
  });
  return sizes.length > 0 ? { sizes, a: ma, b: mb } : { sizes: [1], a: [1], b: [1] };
}

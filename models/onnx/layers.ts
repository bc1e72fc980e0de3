/** Layers of transformers as ONNX operators. */
import type { Graph } from "./graph.ts";

/** q, k, v: (B, H, N, d). The query is scaled, not the product, which f16 might not hold. */
export function attentionGraph(g: Graph, q: string, k: string, v: string, d: number): string {
  const scores = g.node("MatMul", [g.node("Mul", [q, g.scalar(d ** -0.5)]), g.node("Transpose", [k], { perm: [0, 1, 3, 2] })]);
  return g.node("MatMul", [g.node("Softmax", [scores], { axis: -1 }), v]);
}

export const normGraph = (g: Graph, t: string, weight: string, bias: string, eps = 1e-6): string =>
  g.node("LayerNormalization", [t, g.weight(weight), g.weight(bias)], { axis: -1, epsilon: { float: eps } });

/** Weights stay [O,I] as they are in every other file; a runtime turns the constant round once, when it loads. */
export function linearGraph(g: Graph, name: string, t: string, bias = true): string {
  const product = g.node("MatMul", [t, g.node("Transpose", [g.weight(`${name}.weight`)], { perm: [1, 0] })]);
  return bias ? g.node("Add", [product, g.weight(`${name}.bias`)]) : product;
}

/** By erf, in the operators and their order that runtimes know as GELU; an operator of that name came with opset 20. */
export function geluGraph(g: Graph, x: string): string {
  const erf = g.node("Erf", [g.node("Div", [x, g.scalar(Math.SQRT2)])]);
  return g.node("Mul", [g.node("Mul", [x, g.node("Add", [erf, g.scalar(1)])]), g.scalar(0.5)]);
}

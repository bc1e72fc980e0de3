/** DeiT and ViT as ONNX operators, for any number of images. */
import { LAYER_NORM_EPS, prefixTokens, tokens, type DeitConfig } from "../deit.ts";
import type { Graph } from "./graph.ts";

/** x: (B, inChans, imgSize, imgSize). Values [B,K] by head, or features [B,D] without one; the distillation head's is `null` in a plain model. */
export function deitGraph(g: Graph, x: string, c: DeitConfig): { readonly cls: string; readonly dist: string | null } {
  let t = embedded(g, x, c);
  for (let i = 0; i < c.depth; i++) {
    const b = `blocks.${i}`;
    t = g.node("Add", [t, linear(g, `${b}.attn.proj`, attention(g, linear(g, `${b}.attn.qkv`, norm(g, `${b}.norm1`, t)), c))]);
    t = g.node("Add", [t, linear(g, `${b}.mlp.fc2`, geluGraph(g, linear(g, `${b}.mlp.fc1`, norm(g, `${b}.norm2`, t))))]);
  }
  const read = norm(g, "norm", g.slice(t, 1, 0, prefixTokens(c)));
  const head = (name: string, at: number) => {
    const token = g.at(read, 1, at);
    return c.numClasses > 0 ? g.node("Gemm", [token, g.weight(`${name}.weight`), g.weight(`${name}.bias`)], { transB: 1 }) : token;
  };
  return { cls: head("head", 0), dist: c.distilled ? head("head_dist", 1) : null };
}

/** Class token, distillation token and patches (B, N, D), with their positions. */
function embedded(g: Graph, x: string, c: DeitConfig): string {
  const patches = patchGraph(g, x, "patch_embed.proj.weight", "patch_embed.proj.bias", c.patchSize, c.dim);
  const batch = g.node("Shape", [x], { start: 0, end: 1 });
  const shape = g.node("Concat", [batch, g.ints(1, c.dim)], { axis: 0 });
  const token = (name: string) => g.node("Expand", [g.weight(name), shape]);
  const prefix = [token("cls_token"), ...(c.distilled ? [token("dist_token")] : [])];
  return g.node("Add", [g.node("Concat", [...prefix, patches], { axis: 1 }), g.weight("pos_embed")]);
}

/** (B, channels, S, S) to its patches' embeddings (B, P, D). */
export function patchGraph(g: Graph, x: string, weight: string, bias: string, size: number, dim: number): string {
  const y = g.node("Conv", [x, g.weight(weight), g.weight(bias)], { kernel_shape: [size, size], strides: [size, size] });
  return g.node("Transpose", [g.reshape(y, 0, dim, -1)], { perm: [0, 2, 1] });
}

/** Query, key and value (B, N, 3 D) to the mixed values (B, N, D). */
function attention(g: Graph, qkv: string, c: DeitConfig): string {
  const N = tokens(c),
    d = c.dim / c.heads;
  const parts = g.node("Transpose", [g.reshape(qkv, 0, N, 3, c.heads, d)], { perm: [2, 0, 3, 1, 4] });
  const [q, k, v] = g.nodes("Split", [parts], 3, { axis: 0 }).map((part) => g.node("Squeeze", [part, g.ints(0)])) as [
    string,
    string,
    string,
  ];
  return g.reshape(g.node("Transpose", [attentionGraph(g, q, k, v, d)], { perm: [0, 2, 1, 3] }), 0, N, c.dim);
}

/** q, k, v: (B, H, N, d). The query is scaled, not the product, which f16 might not hold. */
export function attentionGraph(g: Graph, q: string, k: string, v: string, d: number): string {
  const scores = g.node("MatMul", [g.node("Mul", [q, g.scalar(d ** -0.5)]), g.node("Transpose", [k], { perm: [0, 1, 3, 2] })]);
  return g.node("MatMul", [g.node("Softmax", [scores], { axis: -1 }), v]);
}

export const normGraph = (g: Graph, t: string, weight: string, bias: string): string =>
  g.node("LayerNormalization", [t, g.weight(weight), g.weight(bias)], { axis: -1, epsilon: { float: LAYER_NORM_EPS } });

const norm = (g: Graph, name: string, t: string): string => normGraph(g, t, `${name}.weight`, `${name}.bias`);

/** Weights stay [O,I] as they are in every other file; a runtime turns the constant round once, when it loads. */
const linear = (g: Graph, name: string, t: string): string =>
  g.node("Add", [g.node("MatMul", [t, g.node("Transpose", [g.weight(`${name}.weight`)], { perm: [1, 0] })]), g.weight(`${name}.bias`)]);

/** By erf, in the operators and their order that runtimes know as GELU; an operator of that name came with opset 20. */
export function geluGraph(g: Graph, x: string): string {
  const erf = g.node("Erf", [g.node("Div", [x, g.scalar(Math.SQRT2)])]);
  return g.node("Mul", [g.node("Mul", [x, g.node("Add", [erf, g.scalar(1)])]), g.scalar(0.5)]);
}

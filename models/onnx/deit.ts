/** Vision transformers as ONNX operators, for any number of images. */
import { headTokens, prefixTokens, tokens, type DeitConfig } from "../deit-config.ts";
import { evaAttention, evaMlp } from "./eva.ts";
import type { Graph } from "./graph.ts";
import { attentionGraph, geluGraph, linearGraph, normGraph } from "./layers.ts";

/** x: (B, inChans, imgSize, imgSize). Values [B,K] by head, or features [B,D] without one; the distillation head's is `null` in a plain model. */
export function deitGraph(g: Graph, x: string, c: DeitConfig): { readonly cls: string; readonly dist: string | null } {
  const norm = (name: string, t: string) => normGraph(g, t, `${name}.weight`, `${name}.bias`, c.eps);
  const eva = c.rope !== null;
  const scaled = (block: string, which: 1 | 2, t: string) =>
    c.layerScale === null ? t : g.node("Mul", [t, g.weight(eva ? `${block}.gamma_${which}` : `${block}.ls${which}.gamma`)]);
  let t = embedded(g, x, c);
  if (c.preNorm) t = norm("norm_pre", t);
  for (let i = 0; i < c.depth; i++) {
    const b = `blocks.${i}`;
    const first = norm(`${b}.norm1`, t);
    const mixed = eva ? evaAttention(g, b, first, c) : attention(g, linearGraph(g, `${b}.attn.qkv`, first, c.qkvBias), c);
    t = g.node("Add", [t, scaled(b, 1, linearGraph(g, `${b}.attn.proj`, mixed))]);
    const second = norm(`${b}.norm2`, t);
    const made = eva ? evaMlp(g, b, second, c) : linearGraph(g, `${b}.mlp.fc2`, geluGraph(g, linearGraph(g, `${b}.mlp.fc1`, second)));
    t = g.node("Add", [t, scaled(b, 2, made)]);
  }
  const ended = (y: string) => (c.finalNorm && !c.fcNorm ? norm("norm", y) : y);
  const head = (name: string, features: string) =>
    c.numClasses > 0 ? g.node("Gemm", [features, g.weight(`${name}.weight`), g.weight(`${name}.bias`)], { transB: 1 }) : features;
  if (c.pool === "cls" && !c.fcNorm) {
    const read = ended(g.slice(t, 1, 0, headTokens(c)));
    return { cls: head("head", g.at(read, 1, 0)), dist: c.distilled ? head("head_dist", g.at(read, 1, 1)) : null };
  }
  const all = ended(t);
  const cls = () => g.at(all, 1, 0);
  const mean = () => g.node("ReduceMean", [g.slice(all, 1, prefixTokens(c), tokens(c))], { axes: [1], keepdims: 0 });
  const pooled = c.pool === "cls" ? cls() : c.pool === "mean" ? mean() : g.node("Concat", [cls(), mean()], { axis: 1 });
  return { cls: head("head", c.fcNorm ? norm("fc_norm", pooled) : pooled), dist: null };
}

/** Class token, distillation token, registers and patches (B, N, D), with their positions. */
function embedded(g: Graph, x: string, c: DeitConfig): string {
  const patches = patchGraph(g, x, "patch_embed.proj.weight", c.preNorm ? null : "patch_embed.proj.bias", c.patchSize, c.dim);
  const batch = g.node("Shape", [x], { start: 0, end: 1 });
  const token = (name: string, count = 1) =>
    g.node("Expand", [g.weight(name), g.node("Concat", [batch, g.ints(count, c.dim)], { axis: 0 })]);
  const registers = c.regTokens > 0 ? [token("reg_token", c.regTokens)] : [];
  const prefix = [token("cls_token"), ...(c.distilled ? [token("dist_token")] : []), ...registers];
  if (c.rope === "dinov3") return g.node("Concat", [...prefix, patches], { axis: 1 });
  const placed = (t: string) => g.node("Add", [t, g.weight("pos_embed")]);
  return c.posEmbedCls
    ? placed(g.node("Concat", [...prefix, patches], { axis: 1 }))
    : g.node("Concat", [...prefix, placed(patches)], { axis: 1 });
}

/** (B, channels, S, S) to its patches' embeddings (B, P, D). */
export function patchGraph(g: Graph, x: string, weight: string, bias: string | null, size: number, dim: number): string {
  const y = g.node("Conv", [x, g.weight(weight), ...(bias === null ? [] : [g.weight(bias)])], {
    kernel_shape: [size, size],
    strides: [size, size],
  });
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

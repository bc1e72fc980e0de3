/** What DINOv3 and EVA-02 have otherwise than ViT (../eva.ts), as ONNX operators. */
import { firstWidth, mlpWidth, prefixTokens, tokens, type DeitConfig } from "../deit-config.ts";
import { rotaryAngles } from "../rotary-angles.ts";
import { attentionGraph, geluGraph, linearGraph, normGraph } from "./layers.ts";
import type { Graph } from "./graph.ts";

/** A block's attention up to its last layer. t: (B, N, D), after the norm. */
export function evaAttention(g: Graph, block: string, t: string, c: DeitConfig): string {
  const d = c.dim / c.heads,
    N = tokens(c);
  const apart = (y: string) => g.node("Transpose", [g.reshape(y, 0, N, c.heads, d)], { perm: [0, 2, 1, 3] });
  const [q, k, v] = queryKeyValue(g, `${block}.attn`, t, c).map(apart) as [string, string, string];
  const mixed = attentionGraph(g, turned(g, q, c), turned(g, k, c), v, d);
  return g.reshape(g.node("Transpose", [mixed], { perm: [0, 2, 1, 3] }), 0, N, c.dim);
}

/** Three values (B, N, D); a key has no bias. */
function queryKeyValue(g: Graph, attn: string, t: string, c: DeitConfig): string[] {
  if (!c.qkvFused) return ["q", "k", "v"].map((part) => linearGraph(g, `${attn}.${part}_proj`, t, c.qkvBias && part !== "k"));
  const parts = g.nodes("Split", [linearGraph(g, `${attn}.qkv`, t, false)], 3, { axis: -1 });
  return parts.map((part, i) => (c.qkvBias && i !== 1 ? g.node("Add", [part, g.weight(`${attn}.${i === 0 ? "q" : "v"}_bias`)]) : part));
}

/** x: (B, H, N, d) times cosines, and its pairs swapped times sines, of which a pair's first has a minus; tokens in front turn by 0. */
function turned(g: Graph, x: string, c: DeitConfig): string {
  const { cos, sin, half } = rotaryAngles(c);
  const d = c.dim / c.heads,
    N = tokens(c),
    front = prefixTokens(c);
  const table = (name: string, inFront: number, at: (pair: number, first: boolean) => number) =>
    g.constant(`rotary_${name}`, [N, d], () =>
      Float32Array.from({ length: N * d }, (_, i) => {
        const [patch, channel] = [Math.floor(i / d) - front, i % d];
        const pair = half ? channel % (d / 2) : channel >> 1;
        return patch < 0 ? inFront : at((patch * d) / 2 + pair, half ? channel < d / 2 : channel % 2 === 0);
      }),
    );
  const cosines = table("cos", 1, (pair) => cos[pair]!);
  const sines = table("sin", 0, (pair, first) => (first ? -sin[pair]! : sin[pair]!));
  return g.node("Add", [g.node("Mul", [x, cosines]), g.node("Mul", [swapped(g, x, d, half), sines])]);
}

function swapped(g: Graph, x: string, d: number, half: boolean): string {
  if (half) return g.node("Concat", [g.slice(x, -1, d / 2, d), g.slice(x, -1, 0, d / 2)], { axis: -1 });
  const pairs = g.reshape(x, 0, 0, 0, d / 2, 2);
  return g.reshape(g.node("Concat", [g.slice(pairs, -1, 1, 2), g.slice(pairs, -1, 0, 1)], { axis: -1 }), 0, 0, 0, d);
}

/** An MLP, of t after the norm. */
export function evaMlp(g: Graph, block: string, t: string, c: DeitConfig): string {
  const mlp = `${block}.mlp`;
  const hidden = c.swiglu === null ? geluGraph(g, linearGraph(g, `${mlp}.fc1`, t)) : gated(g, mlp, t, c);
  return linearGraph(g, `${mlp}.fc2`, c.mlpNorm ? normGraph(g, hidden, `${mlp}.norm.weight`, `${mlp}.norm.bias`, c.eps) : hidden);
}

function gated(g: Graph, mlp: string, t: string, c: DeitConfig): string {
  const both = c.swiglu === "packed" ? linearGraph(g, `${mlp}.fc1`, t) : null;
  const [gate, value] =
    both === null
      ? [linearGraph(g, `${mlp}.fc1_g`, t), linearGraph(g, `${mlp}.fc1_x`, t)]
      : [g.slice(both, -1, 0, mlpWidth(c)), g.slice(both, -1, mlpWidth(c), firstWidth(c))];
  return g.node("Mul", [g.node("Mul", [gate, g.node("Sigmoid", [gate])]), value]);
}

/** Which ONNX operators a case is. */
import { numel } from "../engine/shape.ts";
import { tokens, type DeitConfig } from "../models/deit.ts";
import { regnetBlocks, type RegNetConfig } from "../models/regnet.ts";
import { shapesOf, type Benchmark, type Inputs } from "./benchmark.ts";
import { Graph, weightsOf } from "./onnx-export.ts";

/** A case's forward as an ONNX file and the names of what it is fed; what a model calls weights is inside. Throws for what ONNX has no operator for. */
export function onnxFile(
  { work, backward }: Pick<Benchmark, "work" | "backward">,
  inputs: Inputs,
): { readonly bytes: Uint8Array; readonly fed: readonly string[] } {
  if (backward || "count" in work) throw new Error("inference only: its training was removed");
  const g = new Graph();
  const { y: shape } = shapesOf(work);
  const w = weightsOf(g, inputs);
  const first = [...inputs.keys()][0]!;
  const x = g.input(first, inputs.get(first)!.shape);
  const input = (name: string): string => g.input(name, inputs.get(name)!.shape);
  if (!("sizes" in work)) {
    if (work.op === "train") throw new Error("inference only: its training was removed");
    const { B, config } = work;
    return { bytes: g.model(config.arch === "deit" ? deit(g, x, w, B, config) : regnet(g, x, w, B, config, inputs), shape), fed: ["x"] };
  }
  const { n, attrs } = work;
  switch (work.op) {
    case "matmul":
      return { bytes: g.model(g.node("MatMul", [x, input("b")]), shape), fed: ["a", "b"] };
    case "linear":
      return { bytes: g.model(g.node("Gemm", [x, w("weight"), w("bias")], { transB: 1 }), shape), fed: ["x"] };
    case "softmax":
      return { bytes: g.model(g.node("Softmax", [x]), shape), fed: ["x"] };
    case "gelu":
      return { bytes: g.model(g.node("Gelu", [x]), shape), fed: ["x"] };
    case "layerNorm":
      return { bytes: g.model(g.node("LayerNormalization", [x, w("weight"), w("bias")], { epsilon: { float: 1e-6 } }), shape), fed: ["x"] };
    case "attention":
      return {
        bytes: g.model(attention(g, x, g.node("Transpose", [input("k")], { perm: [0, 1, 3, 2] }), input("v"), n["D"]!), shape),
        fed: ["q", "k", "v"],
      };
    case "conv2d": {
      const { stride: s, padding: p, groups } = attrs as { stride: number; padding: number; groups: number };
      const convolved = g.node("Conv", [x, w("weight")], {
        kernel_shape: [n["kh"]!, n["kw"]!],
        strides: [s, s],
        pads: [p, p, p, p],
        group: groups,
      });
      return { bytes: g.model(convolved, shape), fed: ["x"] };
    }
    case "patchEmbed":
      return { bytes: g.model(patches(g, x, w("weight"), w("bias"), n["p"]!, n["D"]!), shape), fed: ["x"] };
    default:
      throw new Error(`not written here: ${work.op}`);
  }
}

type Weights = ReturnType<typeof weightsOf>;

/** q, v: (B, H, N, D), kT: (B, H, D, N). */
const attention = (g: Graph, q: string, kT: string, v: string, D: number): string =>
  g.node("MatMul", [g.node("Softmax", [g.node("MatMul", [g.node("Mul", [q, g.scalar(D ** -0.5)]), kT])]), v]);

/** (B, 3, S, S) to (B, P, D). */
function patches(g: Graph, x: string, weight: string, bias: string, p: number, D: number): string {
  const y = g.node("Conv", [x, weight, bias], { kernel_shape: [p, p], strides: [p, p] });
  return g.node("Transpose", [g.reshape(y, 0, D, -1)], { perm: [0, 2, 1] });
}

function deit(g: Graph, x: string, w: Weights, B: number, c: DeitConfig): string {
  const D = c.dim,
    N = tokens(c),
    d = D / c.heads;
  const norm = (name: string, t: string) =>
    g.node("LayerNormalization", [t, w(`${name}.weight`), w(`${name}.bias`)], { epsilon: { float: 1e-6 } });
  // Weights are [O,I]; the runtime turns the constant round once, when it loads.
  const dense = (name: string, t: string) =>
    g.node("Add", [g.node("MatMul", [t, g.node("Transpose", [w(`${name}.weight`)], { perm: [1, 0] })]), w(`${name}.bias`)]);
  const token = (name: string) => g.node("Expand", [w(name), g.ints(B, 1, D)]);
  const embedded = patches(g, x, w("patch_embed.proj.weight"), w("patch_embed.proj.bias"), c.patchSize, D);
  let t = g.node("Add", [
    g.node("Concat", [token("cls_token"), ...(c.distilled ? [token("dist_token")] : []), embedded], { axis: 1 }),
    w("pos_embed"),
  ]);
  for (let i = 0; i < c.depth; i++) {
    const b = `blocks.${i}`;
    const qkv = g.reshape(dense(`${b}.attn.qkv`, norm(`${b}.norm1`, t)), B, N, 3, c.heads, d);
    const [q, k, v] = g
      .nodes("Split", [g.node("Transpose", [qkv], { perm: [2, 0, 3, 1, 4] })], 3, { axis: 0, num_outputs: 3 })
      .map((part) => g.reshape(part, B, c.heads, N, d)) as [string, string, string];
    const heads = attention(g, q, g.node("Transpose", [k], { perm: [0, 1, 3, 2] }), v, d);
    const joined = g.reshape(g.node("Transpose", [heads], { perm: [0, 2, 1, 3] }), B, N, D);
    t = g.node("Add", [t, dense(`${b}.attn.proj`, joined)]);
    t = g.node("Add", [t, dense(`${b}.mlp.fc2`, g.node("Gelu", [dense(`${b}.mlp.fc1`, norm(`${b}.norm2`, t))]))]);
  }
  const prefix = c.distilled ? 2 : 1;
  const read = norm("norm", g.node("Slice", [t, g.ints(0), g.ints(prefix), g.ints(1)]));
  const head = (name: string, at: number) =>
    g.node(
      "Gemm",
      [g.reshape(g.node("Slice", [read, g.ints(at), g.ints(at + 1), g.ints(1)]), B, D), w(`${name}.weight`), w(`${name}.bias`)],
      { transB: 1 },
    );
  const cls = head("head", 0);
  return c.distilled ? g.node("Mul", [g.node("Add", [cls, head("head_dist", 1)]), g.scalar(0.5)]) : cls;
}

function regnet(g: Graph, x: string, w: Weights, B: number, c: RegNetConfig, inputs: Inputs): string {
  const conv = (name: string, t: string, { stride = 1, groups = 1, relu = true } = {}): string => {
    const k = inputs.get(`${name}.conv.weight`)!.shape[2]!,
      pad = k >> 1;
    const y = g.node("Conv", [t, w(`${name}.conv.weight`)], {
      kernel_shape: [k, k],
      strides: [stride, stride],
      pads: [pad, pad, pad, pad],
      group: groups,
    });
    const bn = ["weight", "bias", "running_mean", "running_var"].map((part) => w(`${name}.bn.${part}`));
    const n = g.node("BatchNormalization", [y, ...bn], { epsilon: { float: 1e-5 } });
    return relu ? g.node("Relu", [n]) : n;
  };
  const squeeze = (name: string, t: string) => g.node("Conv", [t, w(`${name}.weight`), w(`${name}.bias`)], { kernel_shape: [1, 1] });
  let t = conv("stem", x, { stride: c.stemStride });
  for (const b of regnetBlocks(c)) {
    const shortcut = b.downsample ? conv(`${b.name}.downsample`, t, { stride: b.stride, relu: false }) : t;
    const y = conv(`${b.name}.conv2`, conv(`${b.name}.conv1`, t), { stride: b.stride, groups: b.groups });
    const s = g.node("Sigmoid", [
      squeeze(`${b.name}.se.fc2`, g.node("Relu", [squeeze(`${b.name}.se.fc1`, g.node("GlobalAveragePool", [y]))])),
    ]);
    t = g.node("Relu", [g.node("Add", [conv(`${b.name}.conv3`, g.node("Mul", [y, s]), { relu: false }), shortcut])]);
  }
  const pooled = g.reshape(g.node("GlobalAveragePool", [t]), B, numel(inputs.get("head.fc.weight")!.shape) / c.numClasses);
  return g.node("Gemm", [pooled, w("head.fc.weight"), w("head.fc.bias")], { transB: 1 });
}

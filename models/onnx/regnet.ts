/** RegNetY as ONNX operators, for any number of images. Runtimes fold the norms into the convolutions when they load. */
import { regnetBlocks, type RegNetConfig } from "../regnet.ts";
import type { Graph } from "./graph.ts";

interface ConvOptions {
  readonly kernel?: number;
  readonly stride?: number;
  readonly groups?: number;
  readonly relu?: boolean;
}

/** x: (B, 3, H, W). Logits [B,K], or pooled features without a head. */
export function regnetGraph(g: Graph, x: string, c: RegNetConfig): string {
  let t = conv(g, "stem", x, { kernel: 3, stride: c.stemStride });
  for (const b of regnetBlocks(c)) {
    const shortcut = b.downsample ? conv(g, `${b.name}.downsample`, t, { stride: b.stride, relu: false }) : t;
    const y = conv(g, `${b.name}.conv2`, conv(g, `${b.name}.conv1`, t), { kernel: 3, stride: b.stride, groups: b.groups });
    const scaled = g.node("Mul", [y, squeezeExcite(g, `${b.name}.se`, y)]);
    t = g.node("Relu", [g.node("Add", [conv(g, `${b.name}.conv3`, scaled, { relu: false }), shortcut])]);
  }
  const features = g.node("Flatten", [g.node("GlobalAveragePool", [t])], { axis: 1 });
  return c.numClasses > 0 ? g.node("Gemm", [features, g.weight("head.fc.weight"), g.weight("head.fc.bias")], { transB: 1 }) : features;
}

/** A convolution without bias and its norm. */
function conv(g: Graph, name: string, t: string, { kernel = 1, stride = 1, groups = 1, relu = true }: ConvOptions = {}): string {
  const y = convGraph(g, t, `${name}.conv.weight`, { kernel, stride, padding: kernel >> 1, groups });
  const n = normGraph(g, y, `${name}.bn`);
  return relu ? g.node("Relu", [n]) : n;
}

/** A batch norm by its running statistics. */
export function normGraph(g: Graph, x: string, name: string): string {
  const parameters = ["weight", "bias", "running_mean", "running_var"].map((part) => g.weight(`${name}.${part}`));
  return g.node("BatchNormalization", [x, ...parameters], { epsilon: { float: 1e-5 } });
}

export const convGraph = (
  g: Graph,
  x: string,
  weight: string,
  {
    kernel: k,
    stride: s,
    padding: p,
    groups,
  }: { readonly kernel: number; readonly stride: number; readonly padding: number; readonly groups: number },
): string => g.node("Conv", [x, g.weight(weight)], { kernel_shape: [k, k], strides: [s, s], pads: [p, p, p, p], group: groups });

/** A factor (B, C, 1, 1) for each channel. */
function squeezeExcite(g: Graph, name: string, y: string): string {
  const dense = (part: string, t: string) =>
    g.node("Conv", [t, g.weight(`${name}.${part}.weight`), g.weight(`${name}.${part}.bias`)], { kernel_shape: [1, 1] });
  return g.node("Sigmoid", [dense("fc2", g.node("Relu", [dense("fc1", g.node("GlobalAveragePool", [y]))]))]);
}

/** ResNet as ONNX operators, for any number of images. */
import { resnetBlocks, resnetStem, type ResNetConfig } from "../resnet.ts";
import type { Graph } from "./graph.ts";
import { convGraph, normGraph } from "./regnet.ts";

type Conv = ReturnType<typeof resnetStem>;

/** x: (B, 3, H, W). Logits [B,K], or pooled features without a head. */
export function resnetGraph(g: Graph, x: string, c: ResNetConfig): string {
  const layer = (t: string, { conv, norm, kernel, stride }: Conv): string =>
    normGraph(g, convGraph(g, t, `${conv}.weight`, { kernel, stride, padding: kernel >> 1, groups: 1 }), norm);
  const relu = (t: string): string => g.node("Relu", [t]);
  let t = relu(layer(x, resnetStem(c)));
  t = g.node("MaxPool", [t], { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] });
  for (const { convs, downsample } of resnetBlocks(c)) {
    const shortcut = downsample ? layer(t, downsample) : t;
    const y = convs.reduce((y, conv, n) => (n < convs.length - 1 ? relu(layer(y, conv)) : layer(y, conv)), t);
    t = relu(g.node("Add", [y, shortcut]));
  }
  const features = g.node("Flatten", [g.node("GlobalAveragePool", [t])], { axis: 1 });
  return c.numClasses > 0 ? g.node("Gemm", [features, g.weight("fc.weight"), g.weight("fc.bias")], { transB: 1 }) : features;
}

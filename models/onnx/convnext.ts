/** ConvNeXt as ONNX operators, for any number of images: convolutions with the channels first, all else with the channels last. */
import { convnextBlocks, type ConvNeXtConfig } from "../convnext.ts";
import type { Graph } from "./graph.ts";
import { geluGraph, normGraph } from "./layers.ts";

/** x: (B, 3, H, W). Logits [B,K], or pooled and normalised features without a head. */
export function convnextGraph(g: Graph, x: string, c: ConvNeXtConfig): string {
  const norm = (name: string, t: string) => normGraph(g, t, `${name}.weight`, `${name}.bias`);
  const weights = (name: string) => [g.weight(`${name}.weight`), g.weight(`${name}.bias`)];
  const last = (t: string) => g.node("Transpose", [t], { perm: [0, 2, 3, 1] });
  const first = (t: string) => g.node("Transpose", [t], { perm: [0, 3, 1, 2] });
  const conv = (name: string, t: string, k: number, stride: number, groups = 1): string => {
    const pad = stride === 1 ? k >> 1 : 0;
    return g.node("Conv", [t, ...weights(name)], {
      kernel_shape: [k, k],
      strides: [stride, stride],
      pads: [pad, pad, pad, pad],
      group: groups,
    });
  };
  const dense = (name: string, t: string, out: number, into: number): string => {
    const [weight, bias] = weights(name) as [string, string];
    const matrix = c.convMlp ? g.reshape(weight, out, into) : weight;
    return g.node("Add", [g.node("MatMul", [t, g.node("Transpose", [matrix], { perm: [1, 0] })]), bias]);
  };
  let stage = 0;
  let t = norm("stem.1", last(conv("stem.0", x, 4, 4)));
  for (const block of convnextBlocks(c)) {
    const D = c.dims[block.stage]!;
    if (block.stage > stage) {
      stage = block.stage;
      t = last(conv(`stages.${stage}.downsample.1`, first(norm(`stages.${stage}.downsample.0`, t)), 2, 2));
    }
    const mixed = norm(`${block.name}.norm`, last(conv(`${block.name}.conv_dw`, first(t), 7, 1, D)));
    const hidden = geluGraph(g, dense(`${block.name}.mlp.fc1`, mixed, 4 * D, D));
    const made = dense(`${block.name}.mlp.fc2`, hidden, D, 4 * D);
    t = g.node("Add", [t, g.node("Mul", [made, g.weight(`${block.name}.gamma`)])]);
  }
  const features = norm("head.norm", g.node("ReduceMean", [t], { axes: [1, 2], keepdims: 0 }));
  return c.numClasses > 0 ? g.node("Gemm", [features, ...weights("head.fc")], { transB: 1 }) : features;
}

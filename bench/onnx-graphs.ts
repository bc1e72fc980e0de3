/** Our models and operations as ONNX files with the same weights, for rivals that run nothing else. */
import { createModel } from "../models/model.ts";
import { patchGraph } from "../models/onnx/deit.ts";
import { attentionGraph, geluGraph, normGraph } from "../models/onnx/layers.ts";
import { wholeFile } from "../models/onnx/file.ts";
import { Graph } from "../models/onnx/graph.ts";
import { onnxModel } from "../models/onnx/model.ts";
import { convGraph } from "../models/onnx/regnet.ts";
import { shapesOf, type Benchmark, type Inputs, type KernelWork } from "./benchmark.ts";

export interface CaseFile {
  readonly bytes: Uint8Array;
  /** Names of the file's inputs, and of the case's inputs that they are fed. */
  readonly feeds: Readonly<Record<string, string>>;
  /** The output's name. */
  readonly y: string;
}

/** A case's forward as an ONNX file; what a model calls weights is inside. Throws for what ONNX has no operator for. */
export function onnxFileOf({ work, backward }: Pick<Benchmark, "work" | "backward">, inputs: Inputs): CaseFile {
  if (backward || "count" in work || work.op === "train") throw new Error("inference only: its training was removed");
  if ("sizes" in work) return kernelFile(work, inputs);
  const { B, config } = work;
  const state = new Map([...inputs].filter(([name]) => name !== "x"));
  const file = onnxModel(createModel({ ...config }), state, { batch: B });
  return { bytes: wholeFile(file), feeds: { pixel_values: "x" }, y: "logits" };
}

function kernelFile(work: KernelWork, inputs: Inputs): CaseFile {
  const g = new Graph(inputs);
  const feeds: Record<string, string> = {};
  const input = (name: string): string => {
    feeds[name] = name;
    return g.input(name, inputs.get(name)!.shape);
  };
  g.output("y", operator(g, work, input), shapesOf(work).y);
  return { bytes: wholeFile(g.file()), feeds, y: "y" };
}

function operator(g: Graph, { op, n, attrs }: KernelWork, input: (name: string) => string): string {
  switch (op) {
    case "matmul":
      return g.node("MatMul", [input("a"), input("b")]);
    case "linear":
      return g.node("Gemm", [input("x"), g.weight("weight"), g.weight("bias")], { transB: 1 });
    case "softmax":
      return g.node("Softmax", [input("x")], { axis: -1 });
    case "gelu":
      return geluGraph(g, input("x"));
    case "layerNorm":
      return normGraph(g, input("x"), "weight", "bias");
    case "attention":
      return attentionGraph(g, input("q"), input("k"), input("v"), n["D"]!);
    case "conv2d": {
      const { stride, padding, groups } = attrs as { stride: number; padding: number; groups: number };
      return convGraph(g, input("x"), "weight", { kernel: n["kh"]!, stride, padding, groups });
    }
    case "patchEmbed":
      return patchGraph(g, input("x"), "weight", "bias", n["p"]!, n["D"]!);
    default:
      throw new Error(`not written here: ${op}`);
  }
}

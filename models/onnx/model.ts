/**
 * A model as an ONNX file: `pixel_values` (batch, channels, size, size), normalised, to `logits` (batch, K), of a distilled model also
 * `logits_cls` and `logits_dist`; without a head to `features` (batch, D). Names of inputs and outputs are Hugging Face's.
 */
import { checkState } from "../check-state.ts";
import type { HeadChoice } from "../heads.ts";
import type { Model } from "../model.ts";
import type { State } from "../params.ts";
import { convnextGraph } from "./convnext.ts";
import { deitGraph } from "./deit.ts";
import type { OnnxFile } from "./file.ts";
import { Graph, type OnnxDtype } from "./graph.ts";
import type { ConvNeXtConfig } from "../convnext.ts";
import type { RegNetConfig } from "../regnet.ts";
import type { ResNetConfig } from "../resnet.ts";
import { regnetGraph } from "./regnet.ts";
import { resnetGraph } from "./resnet.ts";

export interface OnnxOptions {
  /** "f32" unless given. */
  readonly dtype?: OnnxDtype;
  /** What `logits` are in a distilled model: the mean of both heads unless given. */
  readonly head?: HeadChoice;
  /** Images in a batch: any number unless given. */
  readonly batch?: number;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** Throws where the weights are not the model's, or where it has parts that are not written here. */
export function onnxModel(model: Model, state: State, o: OnnxOptions = {}): OnnxFile {
  const { dtype = "f32", head = "mean", batch = "batch", metadata = {} } = o;
  checkState(model.name, model.params, state);
  const { config } = model;
  const g = new Graph(state, dtype);
  const x = g.input("pixel_values", [batch, ...model.imageShape]);
  const { cls, dist } = config.arch === "deit" ? deitGraph(g, x, config) : { cls: convolutional(g, x, config), dist: null };
  const width = config.numClasses || model.featureWidth;
  const output = (name: string, value: string) => g.output(name, value, [batch, width]);
  output(config.numClasses > 0 ? "logits" : "features", dist ? combined(g, head, cls, dist) : cls);
  if (config.numClasses > 0 && dist) {
    output("logits_cls", cls);
    output("logits_dist", dist);
  }
  const unread = g.unread();
  if (unread.length > 0)
    throw new Error(
      `onnx: expected a model whose parameters are all exported, got ${model.name} with ${unread.slice(0, 4).join(", ")} besides`,
    );
  return g.file(metadata);
}

const convolutional = (g: Graph, x: string, config: RegNetConfig | ResNetConfig | ConvNeXtConfig): string =>
  config.arch === "resnet"
    ? resnetGraph(g, x, config)
    : config.arch === "convnext"
      ? convnextGraph(g, x, config)
      : regnetGraph(g, x, config);

/** As `combineHeads` has it. */
function combined(g: Graph, head: HeadChoice, cls: string, dist: string): string {
  if (head === "cls") return cls;
  if (head === "dist") return dist;
  const mean = (a: string, b: string) => g.node("Mul", [g.node("Add", [a, b]), g.scalar(0.5)]);
  if (head === "mean") return mean(cls, dist);
  const [a, b] = [cls, dist].map((logits) => g.node("Softmax", [logits], { axis: -1 })) as [string, string];
  return g.node("Log", [mean(a, b)]);
}

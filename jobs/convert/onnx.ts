/** What `convert --to onnx` does, on weights: any layout in, a graph for other runtimes out. */
import type { AnyWeights } from "../../models/checkpoints/formats.ts";
import { namingOf } from "../../models/checkpoints/names.ts";
import { weightsOf } from "../../models/checkpoints/weights.ts";
import { classesIn, type HeadChoice } from "../../models/heads.ts";
import { createModel, type Model } from "../../models/model.ts";
import type { OnnxFile } from "../../models/onnx/file.ts";
import type { OnnxDtype } from "../../models/onnx/graph.ts";
import { huggingFaceFiles } from "../../models/onnx/hugging-face.ts";
import { classLabels } from "../../tasks/labels.ts";
import { onnxOf } from "../../tasks/onnx.ts";
import { stepsOf } from "../../tasks/file-info.ts";
import type { ModelChoice } from "../files/load-model.ts";

export interface OnnxConversionOptions {
  /** For files that do not say what model they are. */
  readonly model?: ModelChoice | undefined;
  readonly dtype: OnnxDtype;
  readonly head: HeadChoice;
}

export interface OnnxConversion {
  readonly model: Model;
  readonly file: OnnxFile;
  readonly labels: readonly string[];
  /** JSON that Hugging Face's libraries read beside the file. */
  readonly beside: ReturnType<typeof huggingFaceFiles>;
}

/** Labels and preprocessing are the file's own; else ImageNet's for 1,000 classes, and the protocol of whose names the file has. */
export async function convertToOnnx(read: AnyWeights, { model: given, dtype, head }: OnnxConversionOptions): Promise<OnnxConversion> {
  const { state, info } = weightsOf(read);
  const what = given ?? (info?.config as ModelChoice | undefined);
  if (!what) throw new Error("onnx: expected --model (timm's name or a config) for a file that does not say its own, got none");
  const classes = classesIn(state);
  const model = createModel(what, typeof what === "string" ? classes : undefined);
  if (!model.distilled && head !== "mean" && head !== "cls")
    throw new Error(`onnx: expected a distilled model for --head ${head}, got ${model.name}`);
  const labels = await classLabels(model.numClasses, info?.classes);
  if (labels.length !== model.numClasses)
    throw new Error(`onnx: expected ${model.numClasses} labels in the file, one for each class, got ${labels.length}`);
  const steps = stepsOf(model, info, namingOf(read.state) === "hf" ? "hf" : "timm");
  const file = onnxOf({ model, state, labels, steps, head }, dtype);
  return { model, file, labels, beside: huggingFaceFiles(model, labels, steps, dtype) };
}

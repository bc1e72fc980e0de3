/** A model as an ONNX file for other runtimes, which knows its labels and preprocessing as the other formats do. */
import { INFO } from "../models/checkpoints/weights.ts";
import type { OnnxFile } from "../models/onnx/file.ts";
import type { OnnxDtype } from "../models/onnx/graph.ts";
import { onnxModel } from "../models/onnx/model.ts";
import { infoFor } from "./file-info.ts";
import type { Parts } from "./parts.ts";

/** `logits` are what `classify` goes by: of the head that the model answers with. */
export const onnxOf = (parts: Omit<Parts, "dtype">, dtype: OnnxDtype): OnnxFile =>
  onnxModel(parts.model, parts.state, { dtype, head: parts.head, metadata: { [INFO]: JSON.stringify(infoFor(parts)) } });

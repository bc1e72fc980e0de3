/** Writes a model as a file that `loadModel` reads without options, and that PyTorch and timm read too. */
import { toHuggingFace } from "../models/checkpoints/names.ts";
import { writeTorchFile } from "../models/checkpoints/torch-writer.ts";
import { INFO, writeWeights } from "../models/checkpoints/weights.ts";
import type { SaveOptions } from "./api.ts";
import { infoFor } from "./file-info.ts";
import type { Parts } from "./parts.ts";

/** "safetensors" with timm's names unless said. Labels, statistics and how pictures are placed are in the file's metadata. */
export async function saveModel(parts: Parts, { format = "safetensors", names = "timm", dtype = "f32" }: SaveOptions): Promise<Uint8Array> {
  if (dtype !== "f32" && format !== "onnx") throw new Error(`save: expected dtype "f32" for format "${format}", got "${dtype}"`);
  if (format === "onnx") {
    const [{ onnxOf }, { wholeFile }] = await Promise.all([import("./onnx.ts"), import("../models/onnx/file.ts")]);
    return wholeFile(onnxOf(parts, dtype));
  }
  const info = infoFor(parts);
  const values = names === "hf" ? toHuggingFace(parts.state).state : parts.state;
  if (format === "safetensors") return writeWeights(values, info);
  if (format === "pth") return writeTorchFile(values, { wrapper: "model", texts: { [INFO]: JSON.stringify(info) } });
  throw new Error(`save: expected format "safetensors", "pth" or "onnx", got "${format}"`);
}

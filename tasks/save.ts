/** Writes a model as a file that `loadModel` reads without options, and that PyTorch and timm read too. */
import { toHuggingFace } from "../models/checkpoints/names.ts";
import { writeTorchFile } from "../models/checkpoints/torch-writer.ts";
import { INFO, writeWeights } from "../models/checkpoints/weights.ts";
import type { SaveOptions } from "./api.ts";
import type { Parts } from "./parts.ts";

/** "safetensors" with timm's names unless said. Labels, statistics and how pictures are placed are in the file's metadata. */
export function saveModel({ model, state, labels, steps }: Parts, { format = "safetensors", names = "timm" }: SaveOptions): Uint8Array {
  const { mean, std, ...placing } = steps;
  const info = { config: model.config, classes: labels, mean, std, placing };
  const values = names === "hf" ? toHuggingFace(state).state : state;
  if (format === "safetensors") return writeWeights(values, info);
  if (format === "pth") return writeTorchFile(values, { wrapper: "model", texts: { [INFO]: JSON.stringify(info) } });
  throw new Error(`save: expected format "safetensors" or "pth", got "${format}"`);
}

/** Converts weights between layouts and containers; every F32 bit is kept, unless f16 is asked for. */
import type { AnyWeights, Container } from "../../models/checkpoints/formats.ts";
import { misfits, notFinite } from "../../models/check-state.ts";
import { convnextConfigOf, convnextParams } from "../../models/convnext.ts";
import { deitConfigOf } from "../../models/config-of.ts";
import { checkDeitConfig } from "../../models/deit-config.ts";
import { transformerParams } from "../../models/eva.ts";
import { toF16 } from "../../models/half.ts";
import { isDistillationHead } from "../../models/heads.ts";
import type { SafeTensor } from "../../models/checkpoints/dtypes.ts";
import { namingOf, toHuggingFace, toTimm, type Naming } from "../../models/checkpoints/names.ts";
import type { ParamSpec, State } from "../../models/params.ts";
import { resnetConfigOf, resnetParams } from "../../models/resnet.ts";
import { quote } from "../../models/shown.ts";
import { regnetToHuggingFace } from "../../models/checkpoints/regnet-names.ts";
import { writeSafetensors } from "../../models/checkpoints/safetensors.ts";
import { writeSharded } from "../../models/checkpoints/sharded.ts";
import { writeTorchFile } from "../../models/checkpoints/torch-writer.ts";
import { INFO, infoOf, type WeightsInfo } from "../../models/checkpoints/weights.ts";

export interface Conversion {
  readonly state: State;
  readonly info: WeightsInfo | null;
  readonly from: Naming;
  readonly fromContainer: AnyWeights["container"];
  readonly to: Naming;
  /** Names in the file that the model does not use. */
  readonly ignored: readonly string[];
  /** Tensors with a NaN or an infinity: kept unchanged, but no model here loads them. */
  readonly notFinite: readonly string[];
}

/** `from`: the names that the file must have; any if not given. */
export function convertWeights(read: AnyWeights, { to, from }: { readonly to: Naming; readonly from?: Naming | undefined }): Conversion {
  if (read.state.size === 0) throw new Error("weights: expected tensors, got none");
  const found = namingOf(read.state);
  if (from !== undefined && from !== found) throw new Error(`weights: expected ${from} names, got ${found} names`);
  const { state: timm, ignored } = toTimm(read.state);
  checkNames(timm);
  return {
    state: to === "timm" ? timm : toHuggingFace(timm).state,
    info: infoOf(read.metadata, read.container),
    from: found,
    fromContainer: read.container,
    to,
    ignored: [...read.ignored, ...ignored],
    notFinite: notFinite(timm),
  };
}

/**
 * Throws unless the names are those of some DeiT, RegNetY, ResNet or ConvNeXt, and shapes of all but a RegNetY fit each other. Any may lack its
 * classifier; a distilled DeiT may lack its second one alone (Hugging Face's DeiTForImageClassification).
 */
function checkNames(state: State): void {
  if (state.has("patch_embed.proj.weight")) checkDeit(state);
  else if (state.has("layer1.0.conv1.weight")) checkTensors(resnetParams(resnetConfigOf(state)), state);
  else if (state.has("stem.0.weight")) checkTensors(convnextParams(convnextConfigOf(state)), state);
  else if ([...state.keys()].some((name) => regnetToHuggingFace(name) === null) || !state.has("stem.conv.weight")) {
    const names = [...state.keys()].slice(0, 4).map(quote).join(", ");
    throw new Error(
      `weights: expected the names of a DeiT, ViT, RegNetY, ResNet or ConvNeXt, got ${names}${state.size > 4 ? ` and ${state.size - 4} more` : ""}`,
    );
  }
}

function checkDeit(state: State): void {
  const oneHead = ![...state.keys()].some(isDistillationHead);
  const config = deitConfigOf(state);
  checkDeitConfig(config);
  const specs = transformerParams(config).filter((s) => !(oneHead && isDistillationHead(s.name)));
  checkTensors(specs, state);
}

function checkTensors(specs: readonly ParamSpec[], state: State): void {
  const wrong = misfits(specs, state);
  if (wrong.length > 0) throw new Error(`weights: expected the ${specs.length} tensors of this model, got ${wrong.join("; ")}`);
}

/** How matrices are stored in safetensors; vectors, such as biases and statistics, stay f32. */
export type StoredDtype = "f32" | "f16";

/** One file. Official `.pth` keep the state dict under `model`; Hugging Face's `.bin` hold it bare. */
export function convertedFile({ state, info, to }: Conversion, container: Container, dtype: StoredDtype = "f32"): Uint8Array {
  if (container === "safetensors") return writeSafetensors(safeTensors(state, dtype), metadataOf(info));
  return writeTorchFile(state, to === "timm" ? { wrapper: "model", texts: textsOf(info) } : {});
}

/** Shards and their index. */
export const convertedShards = ({ state, info }: Conversion, name: string, maxBytes: number, dtype: StoredDtype = "f32") =>
  writeSharded(name, safeTensors(state, dtype), maxBytes, metadataOf(info));

const textsOf = (info: WeightsInfo | null): Record<string, string> => (info ? { [INFO]: JSON.stringify(info) } : {});
const metadataOf = (info: WeightsInfo | null) => ({ format: "pt", ...textsOf(info) });
const safeTensors = (state: State, dtype: StoredDtype): [string, SafeTensor][] =>
  [...state].map(([name, values]) => {
    const { shape } = values;
    if (dtype === "f16" && shape.length > 1) return [name, { dtype: "F16", shape, data: toF16(name, values.data) }];
    return [
      name,
      {
        dtype: "F32",
        shape,
        get data() {
          return values.data;
        },
      },
    ];
  });

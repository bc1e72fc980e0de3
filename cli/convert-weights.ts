/** What `convert` does, on bytes: any weights file in, any layout and container out, every F32 bit kept. */
import { deitParams, type DeitConfig } from "../models/deit.ts";
import { type Container, readAnyWeights } from "../models/checkpoint-formats.ts";
import { layoutOf, toHuggingFace, toTimm, type Layout } from "../models/layouts.ts";
import { checkState, type State } from "../models/params.ts";
import { writeSafetensors } from "../models/safetensors.ts";
import { writeTorchFile } from "../models/torch-file.ts";
import { INFO, infoOf } from "../models/weights.ts";

export interface ConvertOptions {
  readonly to: Layout;
  readonly container: Container;
  /** What the file must hold; whatever it holds where not given. */
  readonly from?: Layout | undefined;
  /** The moving average of a PyTorch training checkpoint. */
  readonly ema?: boolean | undefined;
}

export interface Conversion {
  readonly bytes: Uint8Array;
  readonly from: Layout;
  readonly fromContainer: Container;
  readonly tensors: number;
  /** Names in the file that the model has no use for. */
  readonly ignored: readonly string[];
}

export function convertWeights(input: Uint8Array, { to, container, from, ema }: ConvertOptions): Conversion {
  const read = readAnyWeights(input, { ema });
  if (read.state.size === 0) throw new Error("weights: expected tensors, got none");
  const found = layoutOf(read.state);
  if (from !== undefined && from !== found) throw new Error(`weights: expected ${from} names, got ${found} names`);
  const { state: timm, ignored } = toTimm(read.state);
  if (timm.has("cls_token")) checkState("weights", deitParams(deitConfigOf(timm)), timm);
  const state = to === "timm" ? timm : toHuggingFace(timm).state;
  const info = infoOf(read.metadata, read.container);
  const texts: Readonly<Record<string, string>> = info ? { [INFO]: JSON.stringify(info) } : {};
  const bytes = container === "safetensors"
    ? writeSafetensors([...state].map(([name, { shape, data }]) => [name, { dtype: "F32" as const, shape, data }] as const), { format: "pt", ...texts })
    // Official files keep the state dict under `model`; Hugging Face's hold it bare.
    : writeTorchFile(state, to === "timm" ? { wrapper: "model", texts } : {});
  return { bytes, from: found, fromContainer: read.container, tensors: state.size, ignored };
}

/** The config that a DeiT's shapes tell, but for the number of heads, on which no shape depends. */
export function deitConfigOf(state: State): DeitConfig {
  const shape = (name: string, rank: number): readonly number[] => {
    const found = state.get(name)?.shape;
    if (found?.length !== rank) throw new Error(`weights: expected ${name} with ${rank} axes, got ${found ? `[${found}]` : "none"}`);
    return found;
  };
  const distilled = state.has("dist_token");
  const [dim, inChans, patchSize] = shape("patch_embed.proj.weight", 4);
  const side = Math.sqrt(shape("pos_embed", 3)[1]! - (distilled ? 2 : 1));
  if (!Number.isInteger(side)) throw new Error(`weights: expected pos_embed of a square of patches, got [${state.get("pos_embed")!.shape}]`);
  const depth = new Set([...state.keys()].map((name) => /^blocks\.(\d+)\./.exec(name)?.[1]).filter((i) => i !== undefined)).size;
  return {
    arch: "deit", imgSize: side * patchSize!, patchSize: patchSize!, inChans: inChans!, dim: dim!, depth, heads: 1,
    mlpRatio: shape("blocks.0.mlp.fc1.weight", 2)[0]! / dim!, numClasses: shape("head.weight", 2)[0]!, distilled,
  };
}

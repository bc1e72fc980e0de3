/**
 * The two files that Hugging Face's libraries read beside a model: `config.json` (kind, sizes, labels) and `preprocessor_config.json` (how
 * pictures come to it). With them transformers.js opens the ONNX file as an image classifier: it expects it in a folder `onnx`, as
 * `model.onnx`, or `model_fp16.onnx` in f16.
 *
 * https://huggingface.co/docs/transformers.js/custom_usage
 */
import type { ConvNeXtConfig } from "../convnext.ts";
import { mlpWidth, type DeitConfig } from "../deit-config.ts";
import type { Preprocessing } from "../images/protocols.ts";
import type { Model } from "../model.ts";
import { regnetBlocks, type RegNetConfig } from "../regnet.ts";
import type { ResNetConfig } from "../resnet.ts";
import type { OnnxDtype } from "./graph.ts";

export const ONNX_NAMES = { f32: "onnx/model.onnx", f16: "onnx/model_fp16.onnx" } as const;

/** JSON by path. */
export function huggingFaceFiles(
  { config, numClasses }: Model,
  labels: readonly string[],
  steps: Preprocessing,
  dtype: OnnxDtype,
): Readonly<Record<"config.json" | "preprocessor_config.json", object>> {
  const named = {
    id2label: Object.fromEntries(labels.map((label, i) => [String(i), label])),
    label2id: Object.fromEntries(labels.map((label, i) => [label, i])),
  };
  return {
    "config.json": {
      ...(config.arch === "deit" ? transformer(config) : convolutional(config)),
      ...(numClasses > 0 ? named : {}),
      "transformers.js_config": { dtype: dtype === "f16" ? "fp16" : "fp32" },
    },
    "preprocessor_config.json": processor(steps),
  };
}

/** A plain DeiT is a ViT there, and so is an EVA-02, which has no class of its own. */
function transformer(c: DeitConfig): object {
  if (c.rope === "dinov3") return dinov3(c);
  const kind = c.distilled ? "DeiT" : "ViT";
  return {
    model_type: kind.toLowerCase(),
    architectures: [
      c.numClasses === 0 ? `${kind}Model` : c.distilled ? "DeiTForImageClassificationWithTeacher" : "ViTForImageClassification",
    ],
    ...sizes(c),
  };
}

const sizes = (c: DeitConfig): object => ({
  image_size: c.imgSize,
  patch_size: c.patchSize,
  num_channels: c.inChans,
  hidden_size: c.dim,
  num_hidden_layers: c.depth,
  num_attention_heads: c.heads,
  intermediate_size: mlpWidth(c),
});

/** What its class has as 1.0 or 100.0 is left to it: written from here they are integers, which it refuses. */
const dinov3 = (c: DeitConfig): object => ({
  model_type: "dinov3_vit",
  architectures: ["DINOv3ViTModel"],
  ...sizes(c),
  hidden_act: c.swiglu === null ? "gelu" : "silu",
  use_gated_mlp: c.swiglu !== null,
  query_bias: c.qkvBias,
  key_bias: false,
  value_bias: c.qkvBias,
  layer_norm_eps: c.eps,
  num_register_tokens: c.regTokens,
});

/** transformers.js knows no RegNet; its ResNet runs whatever graph the file holds. */
function convolutional(c: RegNetConfig | ResNetConfig | ConvNeXtConfig): object {
  if (c.arch === "convnext")
    return {
      model_type: "convnext",
      architectures: [c.numClasses === 0 ? "ConvNextModel" : "ConvNextForImageClassification"],
      image_size: c.imgSize,
      num_channels: 3,
      patch_size: 4,
      hidden_sizes: c.dims,
      depths: c.depths,
    };
  if (c.arch === "resnet")
    return {
      model_type: "resnet",
      architectures: [c.numClasses === 0 ? "ResNetModel" : "ResNetForImageClassification"],
      image_size: c.imgSize,
      num_channels: 3,
      embedding_size: c.stemWidth,
      hidden_sizes: c.depths.map((_, stage) => (c.width << stage) * (c.block === "bottleneck" ? 4 : 1)),
      depths: c.depths,
      layer_type: c.block,
    };
  const stages = new Map(regnetBlocks(c).map(({ stage, width }) => [stage, width]));
  return {
    model_type: "resnet",
    architectures: [c.numClasses === 0 ? "RegNetModel" : "RegNetForImageClassification"],
    image_size: c.imgSize,
    num_channels: 3,
    hidden_sizes: [...stages.values()],
  };
}

/** Kinds of processors that transformers in Python has with these steps too. `resample`: Pillow's number of the filter. */
function processor({ size, resize, square, filter, mean, std }: Preprocessing): object {
  const crops = !square || resize !== size;
  const whole = { height: size, width: size };
  return {
    image_processor_type: !square ? "BitImageProcessor" : crops ? "DeiTImageProcessor" : "ViTImageProcessor",
    do_resize: true,
    size: square ? { height: resize, width: resize } : { shortest_edge: resize },
    resample: filter === "bicubic" ? 3 : 2,
    do_center_crop: crops,
    ...(crops ? { crop_size: whole } : {}),
    do_rescale: true,
    rescale_factor: 1 / 255,
    do_normalize: true,
    image_mean: mean,
    image_std: std,
  };
}

/**
 * A ConvNeXt's parameter names as timm, its own repository and Hugging Face's transformers have them, one to one:
 * `stages.1.blocks.2.mlp.fc1.weight` is `stages.1.2.pwconv1.weight` there, and `convnext.encoder.stages.1.layers.2.pwconv1.weight`.
 *
 * https://github.com/facebookresearch/ConvNeXt/blob/main/models/convnext.py
 * https://github.com/huggingface/transformers/blob/main/src/transformers/models/convnext/modeling_convnext.py
 */
import { convnextConfig, convnextConfigOf, convnextNames } from "../convnext.ts";
import type { State } from "../params.ts";

type Row = readonly [timm: string, other: string];

/** Inside a block. */
const BLOCK: readonly (readonly [timm: string, own: string, hf: string])[] = [
  ["gamma", "gamma", "layer_scale_parameter"],
  ...["weight", "bias"].flatMap((kind) => [
    [`conv_dw.${kind}`, `dwconv.${kind}`, `dwconv.${kind}`] as const,
    [`norm.${kind}`, `norm.${kind}`, `layernorm.${kind}`] as const,
    [`mlp.fc1.${kind}`, `pwconv1.${kind}`, `pwconv1.${kind}`] as const,
    [`mlp.fc2.${kind}`, `pwconv2.${kind}`, `pwconv2.${kind}`] as const,
  ]),
];
/** Modules outside of stages; Hugging Face's behind `convnext.`, but for the classifier. */
const OUTSIDE: readonly Row[] = [
  ["stem.0", "convnext.embeddings.patch_embeddings"],
  ["stem.1", "convnext.embeddings.layernorm"],
  ["head.norm", "convnext.layernorm"],
  ["head.fc", "classifier"],
];
const KIND = /^(.*)\.(weight|bias)$/;

export const isHfConvNext = (name: string): boolean => /^(convnext\.)?encoder\.stages\.\d\.layers\.\d+\.dwconv\./.test(name);

/** Whether a name is one of the official repository's, which timm has otherwise. */
export const isOwnConvNext = (name: string): boolean => /^stages\.\d\.\d+\.dwconv\./.test(name);

/** timm's name; `null` for others than Hugging Face's, with `convnext.` or, as a model without classifier has them, without. */
export function convnextToTimm(name: string): string | null {
  const whole = name.replace(/^(embeddings|encoder|layernorm)\./, "convnext.$1.");
  const [, module, kind] = KIND.exec(whole) ?? [];
  const outside = OUTSIDE.find(([, hf]) => hf === module);
  if (outside) return `${outside[0]}.${kind}`;
  const [, stage, rest] = /^convnext\.encoder\.stages\.([0-3])\.(.*)$/.exec(whole) ?? [];
  const [, layer, part] = /^downsampling_layer\.([01])\.(weight|bias)$/.exec(rest ?? "") ?? [];
  if (layer) return `stages.${stage}.downsample.${layer}.${part}`;
  const [, block, inner] = /^layers\.(0|[1-9]\d{0,2})\.(.*)$/.exec(rest ?? "") ?? [];
  const row = BLOCK.find(([, , hf]) => hf === inner);
  return row ? `stages.${stage}.blocks.${block}.${row[0]}` : null;
}

/** Hugging Face's name; `null` for others than timm's of a ConvNeXt. */
export function convnextToHuggingFace(name: string): string | null {
  const [, module, kind] = KIND.exec(name) ?? [];
  const outside = OUTSIDE.find(([timm]) => timm === module);
  if (outside) return `${outside[1]}.${kind}`;
  const [, stage, rest] = /^stages\.([0-3])\.(.*)$/.exec(name) ?? [];
  const [, layer, part] = /^downsample\.([01])\.(weight|bias)$/.exec(rest ?? "") ?? [];
  if (layer) return `convnext.encoder.stages.${stage}.downsampling_layer.${layer}.${part}`;
  const [, block, inner] = /^blocks\.(0|[1-9]\d{0,2})\.(.*)$/.exec(rest ?? "") ?? [];
  const row = BLOCK.find(([timm]) => timm === inner);
  return row ? `convnext.encoder.stages.${stage}.layers.${block}.${row[2]}` : null;
}

/** timm's name of one of the official repository's; the name as it is where both have it. */
export function ownConvnextToTimm(name: string): string {
  const [, index, layer, kind] = /^downsample_layers\.([0-3])\.([01])\.(weight|bias)$/.exec(name) ?? [];
  if (index) return index === "0" ? `stem.${layer}.${kind}` : `stages.${index}.downsample.${layer}.${kind}`;
  const [, stage, block, inner] = /^stages\.([0-3])\.(0|[1-9]\d{0,2})\.(.*)$/.exec(name) ?? [];
  const row = BLOCK.find(([, own]) => own === inner);
  if (row) return `stages.${stage}.blocks.${block}.${row[0]}`;
  return name.replace(/^norm\./, "head.norm.").replace(/^head\.(weight|bias)$/, "head.fc.$1");
}

/** A ConvNeXt's linear layers as matrices, or as 1x1 convolutions where timm has them so in its model of these sizes. */
export function convnextShaped(state: State): State {
  const { depths, dims } = convnextConfigOf(state);
  const sizes = (c: { depths: readonly number[]; dims: readonly number[] }) => `${c.depths} ${c.dims}`;
  const named = convnextNames.map((name) => convnextConfig(name)!).find((c) => sizes(c) === sizes({ depths, dims }));
  return named?.convMlp ? withMatrices(state, ([O, I]) => [O!, I!, 1, 1]) : state;
}

/** The same values, the linear layers' weights in another shape. */
export const withMatrices = (state: State, shaped: (shape: readonly number[]) => readonly number[]): State =>
  new Map(
    [...state].map(([name, values]) => {
      if (!/\.mlp\.fc[12]\.weight$/.test(name)) return [name, values];
      const shape = shaped(values.shape);
      return [
        name,
        {
          shape,
          get data() {
            return values.data;
          },
        },
      ];
    }),
  );

/**
 * A RegNetY's parameter names as timm and as Hugging Face's transformers have them, one to one: `s1.b2.conv3.bn.weight` is
 * `regnet.encoder.stages.0.layers.1.layer.3.normalization.weight`.
 *
 * https://github.com/huggingface/transformers/blob/main/src/transformers/models/regnet/modeling_regnet.py
 */

/** Inside a block; Hugging Face's second layer is the squeeze-and-excitation, with no activation's number in between. */
const CONVS = [
  ["conv1", "layer.0"],
  ["conv2", "layer.1"],
  ["conv3", "layer.3"],
  ["downsample", "shortcut"],
] as const;
const PARTS = [
  ["conv", "convolution"],
  ["bn", "normalization"],
] as const;
const SQUEEZES = [
  ["se.fc1", "layer.2.attention.0"],
  ["se.fc2", "layer.2.attention.2"],
] as const;

/** Names of modules (all but `.weight` and the like) within a block. */
const MODULES: readonly (readonly [timm: string, hf: string])[] = [
  ...CONVS.flatMap(([timm, hf]) => PARTS.map(([t, h]) => [`${timm}.${t}`, `${hf}.${h}`] as const)),
  ...SQUEEZES,
];
const OUTSIDE: readonly (readonly [timm: string, hf: string])[] = [
  ["stem.conv", "regnet.embedder.embedder.convolution"],
  ["stem.bn", "regnet.embedder.embedder.normalization"],
  ["head.fc", "classifier.1"],
];
const KIND = /^(.*)\.(weight|bias|running_mean|running_var)$/;

export const isHfRegNet = (name: string): boolean => /^(regnet|embedder|encoder\.stages|classifier\.1)\./.test(name);

/** timm's name; `null` for others than Hugging Face's of a RegNetY, with `regnet.` or, as a model without classifier has them, without. */
export function regnetToTimm(name: string): string | null {
  const [, module, kind] = KIND.exec(name.replace(/^(embedder|encoder)\./, "regnet.$1.")) ?? [];
  const outside = OUTSIDE.find(([, hf]) => hf === module);
  if (outside) return `${outside[0]}.${kind}`;
  const [, stage, block, inner] = /^regnet\.encoder\.stages\.([0-3])\.layers\.(0|[1-9]\d{0,2})\.(.*)$/.exec(module ?? "") ?? [];
  const row = MODULES.find(([, hf]) => hf === inner);
  return row ? `s${Number(stage) + 1}.b${Number(block) + 1}.${row[0]}.${kind}` : null;
}

/** Hugging Face's name; `null` for others than timm's of a RegNetY. */
export function regnetToHuggingFace(name: string): string | null {
  const [, module, kind] = KIND.exec(name) ?? [];
  const outside = OUTSIDE.find(([timm]) => timm === module);
  if (outside) return `${outside[1]}.${kind}`;
  const [, stage, block, inner] = /^s([1-4])\.b([1-9]\d{0,2})\.(.*)$/.exec(module ?? "") ?? [];
  const row = MODULES.find(([timm]) => timm === inner);
  return row ? `regnet.encoder.stages.${Number(stage) - 1}.layers.${Number(block) - 1}.${row[1]}.${kind}` : null;
}

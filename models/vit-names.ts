/** The vision transformers that timm has a name for: DeiT, and those of other papers. */
import type { DeitConfig } from "./deit-config.ts";
import { configsOf, DEIT_CONFIGS } from "./deit-names.ts";

const DINOV2 = { imgSize: 518, patchSize: 14, layerScale: 1e-5, numClasses: 0 };
const DINOV3 = {
  imgSize: 256,
  layerScale: 1e-5,
  regTokens: 4,
  eps: 1e-5,
  pool: "mean",
  numClasses: 0,
  rope: "dinov3",
  qkvBias: false,
} as const;
const EVA02 = { patchSize: 14, mlpRatio: 8 / 3, pool: "mean", fcNorm: true, rope: "eva02", swiglu: "packed" } as const;
const EVA02_LARGER = { ...EVA02, qkvFused: false, swiglu: "split", mlpNorm: true } as const;

const CONFIGS: ReadonlyMap<string, DeitConfig> = new Map([
  ...DEIT_CONFIGS,
  ...configsOf([
    { name: "vit_$_patch16_224", sizes: ["tiny", "small", "base", "large"], config: {} },
    { name: "vit_$_patch16_384", sizes: ["tiny", "small", "base", "large"], config: { imgSize: 384 } },
    { name: "vit_$_patch32_224", sizes: ["small", "base"], config: { patchSize: 32 } },
    { name: "vit_$_patch32_384", sizes: ["small", "base", "large"], config: { patchSize: 32, imgSize: 384 } },
    { name: "vit_$_patch8_224", sizes: ["small"], config: { patchSize: 8, numClasses: 0 } }, // timm has DINO's weights alone
    { name: "vit_$_patch8_224", sizes: ["base"], config: { patchSize: 8 } },
    { name: "vit_$_patch14_dinov2", sizes: ["small", "base", "large"], config: DINOV2 },
    { name: "vit_$_patch14_reg4_dinov2", sizes: ["small", "base", "large"], config: { ...DINOV2, regTokens: 4, posEmbedCls: false } },
    { name: "vit_$_patch16_dinov3", sizes: ["small", "base", "large"], config: DINOV3 },
    { name: "vit_$_patch16_dinov3", sizes: ["small_plus"], config: { ...DINOV3, swiglu: "split" } },
    { name: "vit_$_patch16_dinov3_qkvb", sizes: ["tiny", "small", "base", "large"], config: { ...DINOV3, qkvBias: true } },
    { name: "vit_$_patch16_dinov3_qkvb", sizes: ["small_plus"], config: { ...DINOV3, qkvBias: true, swiglu: "split" } },
    { name: "eva02_$_patch14_224", sizes: ["tiny", "small"], config: { ...EVA02, numClasses: 0 } },
    { name: "eva02_$_patch14_224", sizes: ["base", "large"], config: { ...EVA02_LARGER, numClasses: 0 } },
    { name: "eva02_$_patch14_336", sizes: ["tiny", "small"], config: { ...EVA02, imgSize: 336 } },
    { name: "eva02_$_patch14_448", sizes: ["base", "large"], config: { ...EVA02_LARGER, imgSize: 448 } },
  ]),
]);

/** Every name that `vitConfig` knows; of names for one config DeiT's come first. */
export const vitNames: readonly string[] = [...CONFIGS.keys()];

/** Tags of weights without a classifier, under names that have one. */
export const HEADLESS = /\.(dino|mae)$/;

/**
 * The config of a timm model name, e.g. `deit_tiny_distilled_patch16_224`, `vit_small_patch14_dinov2`, with or without the tag of its weights;
 * `null` for other names.
 */
export function vitConfig(name: string): DeitConfig | null {
  const config = CONFIGS.get(name.replace(/\.\w+$/, "")) ?? null;
  return config && HEADLESS.test(name) ? { ...config, numClasses: 0 } : config;
}

/** The names that timm has for DeiT and DeiT III; vit-names.ts has all vision transformers'. */
import { DEIT, type DeitConfig } from "./deit-config.ts";

const SIZES = {
  tiny: { dim: 192, heads: 3 },
  small: { dim: 384, heads: 6 },
  small_plus: { dim: 384, heads: 6 },
  medium: { dim: 512, heads: 8 },
  base: { dim: 768, heads: 12 },
  large: { dim: 1024, heads: 16, depth: 24 },
} as const;

/** A family: the names' pattern, of which `$` is the size, the sizes there are, and how it differs from DeiT. */
export interface Family {
  readonly name: string;
  readonly sizes: readonly (keyof typeof SIZES)[];
  readonly config: Partial<DeitConfig>;
}

/** The configs of families, by name. */
export const configsOf = (families: readonly Family[]): ReadonlyMap<string, DeitConfig> =>
  new Map(
    families.flatMap(({ name, sizes, config }) =>
      sizes.map((size) => [name.replace("$", size), { ...DEIT, ...SIZES[size], ...config }] as const),
    ),
  );

const DEIT3 = { layerScale: 1e-6, posEmbedCls: false };

/** DeiT's configs by name. */
export const DEIT_CONFIGS = configsOf([
  { name: "deit_$_patch16_224", sizes: ["tiny", "small", "base"], config: {} },
  { name: "deit_$_patch16_384", sizes: ["base"], config: { imgSize: 384 } },
  { name: "deit_$_distilled_patch16_224", sizes: ["tiny", "small", "base"], config: { distilled: true } },
  { name: "deit_$_distilled_patch16_384", sizes: ["base"], config: { distilled: true, imgSize: 384 } },
  { name: "deit3_$_patch16_224", sizes: ["small", "medium", "base", "large"], config: DEIT3 },
  { name: "deit3_$_patch16_384", sizes: ["small", "base", "large"], config: { ...DEIT3, imgSize: 384 } },
]);

/** The config of a DeiT by its timm name, e.g. `deit_tiny_distilled_patch16_224`; `null` for other names. */
export const deitConfig = (name: string): DeitConfig | null => DEIT_CONFIGS.get(name) ?? null;

/** Kinds of products that cases run with, and the features that each needs. */
import { TILES, type GemmVariant, type TileName } from "../kernels/gemm/tiles.ts";

export const GEMM_KINDS = ["register", "subgroup", "shared"] as const satisfies readonly GemmVariant[];

/** All that --variant takes. */
export const GEMM_VARIANTS: readonly GemmVariant[] = [...GEMM_KINDS, ...(Object.keys(TILES) as TileName[])];

export const needsOf = (variant: GemmVariant): { readonly needs?: readonly string[] } =>
  variant.startsWith("subgroup") ? { needs: ["subgroups"] } : {};

/** Which kinds of products a case runs with, and what an adapter needs for them. */
import type { GemmVariant } from "../kernels/gemm/tiles.ts";

export const GEMM_KINDS = ["register", "subgroup", "shared"] as const satisfies readonly GemmVariant[];

export const needsOf = (variant: GemmVariant): { readonly needs?: readonly string[] } =>
  variant.startsWith("subgroup") ? { needs: ["subgroups"] } : {};

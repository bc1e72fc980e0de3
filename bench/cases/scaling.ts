/** How times grow: with the batch, with the tokens, with the width. */
import type { Benchmark } from "../benchmark.ts";
import { ops } from "../../checks/catalog.ts";
import { both, forward, kernel, train, type Place } from "./make.ts";
import { dim96, TINY } from "./models.ts";
import { deitConfig } from "../../models/deit-names.ts";

const scaling = (...sets: Place["sets"][number][]): Place => ({ sets, suite: "scaling" });
const tiny = deitConfig(TINY)!;

export const scalingCases: readonly Benchmark[] = [
  ...[1, 2, 4, 16].map((B) => forward(scaling("software"), "deit_dim96_depth4_distilled_patch4_32", B, dim96)),
  ...[1, 2, 4, 16].map((B) => train(scaling("software"), "deit_dim96_depth4_distilled_patch4_32", B, dim96)),
  ...[2, 8, 32, 128].map((B) => forward(scaling("gpu"), TINY, B, tiny)),
  ...[1, 8, 16, 64].map((B) => train(scaling("gpu"), TINY, B, tiny)),
  ...[50, 197, 577].flatMap((N) => kernel(scaling("software"), ops["attention"]!, `1x3x${N}x${N}x64`)),
  ...[50, 197, 577].flatMap((N) => kernel(scaling("gpu"), ops["attention"]!, `32x3x${N}x${N}x64`)),
  ...[96, 192, 384, 768].flatMap((D) => kernel(scaling(...both), ops["linear"]!, `197x${D}x${D}`)),
  ...[96, 192, 384, 768].map((dim) =>
    forward(scaling(...both), `deit_dim${dim}_depth1_distilled_patch16_224`, 1, { ...tiny, dim, heads: dim / 32, depth: 1 }),
  ),
];

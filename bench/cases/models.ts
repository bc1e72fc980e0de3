/** Whole models: inference, and training steps plain and distilled. */
import type { Benchmark } from "../benchmark.ts";
import { deitConfig } from "../../models/deit-names.ts";
import { regnetConfig } from "../../models/regnet.ts";
import { both, forward, train, type Place } from "./make.ts";

const all: Place = { sets: both };
const gpu: Place = { sets: ["gpu"] };
const software: Place = { sets: ["software"] };
const large: Place = { sets: ["gpu", "large"] };

const deit = (size: string) => deitConfig(`deit_${size}_patch16_224`)!;
export const TINY = "deit_tiny_distilled_patch16_224";
const tiny = deit("tiny_distilled");
// Small enough for a processor: DeiT-Ti with a quarter of the tokens and a third of the depth, and one for CIFAR's images.
const tiny112 = { ...tiny, imgSize: 112, depth: 4 };
export const dim96 = { ...tiny, imgSize: 32, patchSize: 4, dim: 96, depth: 4, numClasses: 10 };

export const inference: readonly Benchmark[] = [
  forward({ sets: ["software"], quick: true }, "deit_dim96_depth4_distilled_patch4_32", 8, dim96),
  forward(software, "deit_tiny_depth4_distilled_patch16_112", 1, tiny112),
  forward(all, TINY, 1, tiny),
  forward({ sets: ["large"] }, TINY, 16, tiny),
  forward({ ...gpu, quick: true }, TINY, 64, tiny),
  forward(gpu, "deit_tiny_patch16_224", 64, deit("tiny")),
  forward(large, "deit_small_distilled_patch16_224", 1, deit("small_distilled")),
  forward(gpu, "deit_small_distilled_patch16_224", 64, deit("small_distilled")),
  forward({ sets: ["large"] }, "deit_small_distilled_patch16_224", 8, deit("small_distilled")),
  forward(large, "deit_base_distilled_patch16_224", 1, deit("base_distilled")),
  forward({ sets: ["large"] }, "deit_base_distilled_patch16_224", 4, deit("base_distilled")),
  forward(gpu, "deit_base_distilled_patch16_224", 64, deit("base_distilled")),
  forward(software, "regnety_002_64", 1, { ...regnetConfig("regnety_002")!, imgSize: 64 }),
  forward(gpu, "regnety_004", 1, regnetConfig("regnety_004")!),
  forward(gpu, "regnety_004", 32, regnetConfig("regnety_004")!),
  forward(gpu, "regnety_160", 32, regnetConfig("regnety_160")!),
];

export const training: readonly Benchmark[] = [
  train({ sets: ["software"], quick: true }, "deit_dim96_depth4_patch4_32", 8, { ...dim96, distilled: false }),
  train({ ...all, quick: true }, "deit_dim96_depth4_distilled_patch4_32", 8, dim96),
  train(all, "deit_tiny_depth4_distilled_patch16_112", 2, tiny112),
  train({ sets: ["large"] }, TINY, 2, tiny),
  train({ ...gpu, quick: true }, TINY, 4, tiny),
  train(gpu, TINY, 32, tiny),
  train(gpu, "deit_tiny_patch16_224", 32, deit("tiny")),
  train(gpu, "deit_small_distilled_patch16_224", 32, deit("small_distilled")),
  train(gpu, "deit_base_distilled_patch16_224", 16, deit("base_distilled")),
];

/**
 * AutoAugment's ImageNet policies and 3-Augment: draws one of a list of sub-policies, uniformly, and applies its operations in order.
 *
 * "original" is the paper's, https://arxiv.org/abs/1805.09501; "v0" is EfficientNet's on TPUs; an "r" gives either the posterize that
 * grows stronger with magnitude. "3a" is 3-Augment of DeiT III, https://arxiv.org/abs/2204.07118: solarize, grey or blur.
 * (Checked against timm 1.0.29.)
 */
import { quote } from "../../models/shown.ts";
import type { Draws } from "./draws.ts";
import { LEVELS, sampleOp, type LevelName, type Spread } from "./levels.ts";
import type { AugmentOp } from "./ops.ts";

export interface Layer {
  readonly name: LevelName;
  readonly prob: number;
  readonly magnitude: number;
}

export interface AutoAugment extends Spread {
  readonly kind: "auto";
  readonly name: string;
  readonly policies: readonly (readonly Layer[])[];
}

// Sub-policies one a line: operation, probability in tenths, magnitude.
const ORIGINAL = `
  Posterize 4 8, Rotate 6 9
  Solarize 6 5, AutoContrast 6 5
  Equalize 8 8, Equalize 6 3
  Posterize 6 7, Posterize 6 6
  Equalize 4 7, Solarize 2 4
  Equalize 4 4, Rotate 8 8
  Solarize 6 3, Equalize 6 7
  Posterize 8 5, Equalize 10 2
  Rotate 2 3, Solarize 6 8
  Equalize 6 8, Posterize 4 6
  Rotate 8 8, Color 4 0
  Rotate 4 9, Equalize 6 2
  Equalize 0 7, Equalize 8 8
  Invert 6 4, Equalize 10 8
  Color 6 4, Contrast 10 8
  Rotate 8 8, Color 10 2
  Color 8 8, Solarize 8 7
  Sharpness 4 7, Invert 6 8
  ShearX 6 5, Equalize 10 9
  Color 4 0, Equalize 6 3
  Equalize 4 7, Solarize 2 4
  Solarize 6 5, AutoContrast 6 5
  Invert 6 4, Equalize 10 8
  Color 6 4, Contrast 10 8
  Equalize 8 8, Equalize 6 3`;

const V0 = `
  Equalize 8 1, ShearY 8 4
  Color 4 9, Equalize 6 3
  Color 4 1, Rotate 6 8
  Solarize 8 3, Equalize 4 7
  Solarize 4 2, Solarize 6 2
  Color 2 0, Equalize 8 8
  Equalize 4 8, SolarizeAdd 8 3
  ShearX 2 9, Rotate 6 8
  Color 6 1, Equalize 10 2
  Invert 4 9, Rotate 6 0
  Equalize 10 9, ShearY 6 3
  Color 4 7, Equalize 6 0
  Posterize 4 6, AutoContrast 4 7
  Solarize 6 8, Color 6 9
  Solarize 2 4, Rotate 8 9
  Rotate 10 7, TranslateYRel 8 9
  ShearX 0 0, Solarize 8 4
  ShearY 8 0, Color 6 4
  Color 10 0, Rotate 6 2
  Equalize 8 4, Equalize 0 8
  Equalize 10 4, AutoContrast 6 2
  ShearY 4 7, SolarizeAdd 6 7
  Posterize 8 2, Solarize 6 10
  Solarize 6 8, Equalize 6 1
  Color 8 6, Rotate 4 5`;

const THREE = `
  Solarize 10 5
  Desaturate 10 10
  GaussianBlurRand 10 10`;

function table(text: string, posterize: LevelName): Layer[][] {
  return text
    .trim()
    .split("\n")
    .map((line) =>
      line.split(",").map((layer) => {
        const [op = "", tenths, magnitude] = layer.trim().split(" ");
        const name = op === "Posterize" ? posterize : op;
        if (!(name in LEVELS)) throw new Error(`AutoAugment: expected a known operation, got ${name}`);
        return { name: name as LevelName, prob: Number(tenths) / 10, magnitude: Number(magnitude) };
      }),
    );
}

const POLICIES: Record<string, () => Layer[][]> = {
  original: () => table(ORIGINAL, "PosterizeOriginal"),
  originalr: () => table(ORIGINAL, "PosterizeIncreasing"),
  v0: () => table(V0, "Posterize"),
  v0r: () => table(V0, "PosterizeIncreasing"),
  "3a": () => table(THREE, "Posterize"),
};

/** "original", "originalr", "v0", "v0r" or "3a"; "-mstd0.5" after it makes magnitudes vary. */
export function parseAutoAugment(text: string): AutoAugment {
  const [name = "", ...sections] = text.split("-");
  const policy = Object.hasOwn(POLICIES, name) ? POLICIES[name] : undefined;
  if (!policy) throw new Error(`AutoAugment: expected rand-..., ${Object.keys(POLICIES).join(", ")}, got ${quote(text)}`);
  const std = /^mstd(\d+\.?\d*)$/.exec(sections[0] ?? "mstd0")?.[1];
  if (std === undefined || sections.length > 1)
    throw new Error(`AutoAugment: expected at most -mstd and a number after ${name}, got ${quote(text)}`);
  return { kind: "auto", name, policies: policy(), std: Number(std), max: 10 };
}

export function sampleAutoAugment({ policies, std, max }: AutoAugment, draws: Draws): AugmentOp[] {
  return policies[draws.int(policies.length)]!.flatMap(
    ({ name, prob, magnitude }) => sampleOp(name, prob, magnitude, { std, max }, draws) ?? [],
  );
}

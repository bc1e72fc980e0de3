/**
 * RandAugment's and AutoAugment's magnitudes, as timm maps them to arguments.
 *
 * A magnitude m is on a scale of 0 to 10 and may exceed it where the policy says so. "Increasing" operations grow stronger with m;
 * their plain namesakes run from one end of the range to the other. Some arguments get a random sign.
 * (Checked against timm 1.0.29.) Cubuk et al. 2018, https://arxiv.org/abs/1805.09501; 2019, https://arxiv.org/abs/1909.13719
 */
import type { Draws } from "./draws.ts";
import type { AugmentOp } from "./ops.ts";

type ToOp = (m: number, draws: Draws) => AugmentOp;

const signed = (v: number, draws: Draws): number => (draws.uniform() > 0.5 ? -v : v);
/** The whole range, 0.1 to 1.9. */
const factor = (m: number): number => (m / 10) * 1.8 + 0.1;
/** Away from 1 to either side, not below 0.1. */
const factorIncreasing = (m: number, draws: Draws): number => Math.max(0.1, 1 + signed((m / 10) * 0.9, draws));
/** More than 8 bits keep everything and less than none leave black, as 8 and 0 do. */
const bits = (n: number): AugmentOp => ({ op: "Posterize", bits: Math.min(8, Math.max(0, n)) });
const threshold = (m: number): number => Math.min(256, Math.trunc((m / 10) * 256));
const shear = (m: number, draws: Draws): number => signed((m / 10) * 0.3, draws);
const translation = (m: number, draws: Draws): number => signed((m / 10) * 0.45, draws);
const share = (m: number): number => Math.min(1, m / 10);

export const LEVELS = {
  AutoContrast: () => ({ op: "AutoContrast" }),
  Equalize: () => ({ op: "Equalize" }),
  Invert: () => ({ op: "Invert" }),
  Rotate: (m, draws) => ({ op: "Rotate", degrees: signed((m / 10) * 30, draws) }),
  Posterize: (m) => bits(Math.trunc((m / 10) * 4)),
  PosterizeIncreasing: (m) => bits(4 - Math.trunc((m / 10) * 4)),
  PosterizeOriginal: (m) => bits(4 + Math.trunc((m / 10) * 4)),
  Solarize: (m) => ({ op: "Solarize", threshold: threshold(m) }),
  SolarizeIncreasing: (m) => ({ op: "Solarize", threshold: 256 - threshold(m) }),
  SolarizeAdd: (m) => ({ op: "SolarizeAdd", add: Math.min(128, Math.trunc((m / 10) * 110)) }),
  Color: (m) => ({ op: "Color", factor: factor(m) }),
  ColorIncreasing: (m, draws) => ({ op: "Color", factor: factorIncreasing(m, draws) }),
  Contrast: (m) => ({ op: "Contrast", factor: factor(m) }),
  ContrastIncreasing: (m, draws) => ({ op: "Contrast", factor: factorIncreasing(m, draws) }),
  Brightness: (m) => ({ op: "Brightness", factor: factor(m) }),
  BrightnessIncreasing: (m, draws) => ({ op: "Brightness", factor: factorIncreasing(m, draws) }),
  Sharpness: (m) => ({ op: "Sharpness", factor: factor(m) }),
  SharpnessIncreasing: (m, draws) => ({ op: "Sharpness", factor: factorIncreasing(m, draws) }),
  ShearX: (m, draws) => ({ op: "ShearX", factor: shear(m, draws) }),
  ShearY: (m, draws) => ({ op: "ShearY", factor: shear(m, draws) }),
  TranslateXRel: (m, draws) => ({ op: "TranslateXRel", fraction: translation(m, draws) }),
  TranslateYRel: (m, draws) => ({ op: "TranslateYRel", fraction: translation(m, draws) }),
  /** Half the colour to none of it. */
  Desaturate: (m) => ({ op: "Color", factor: Math.min(1, Math.max(0, 1 - (0.5 + 0.5 * share(m)))) }),
  GaussianBlurRand: (m, draws) => ({ op: "GaussianBlur", radius: draws.uniform(0.1, 2 * share(m)) }),
} satisfies Record<string, ToOp>;

export type LevelName = keyof typeof LEVELS;

/** How magnitudes vary: normally with deviation `std` (`Infinity`: uniformly in [0, m)), clipped to [0, max]. */
export interface Spread {
  readonly std: number;
  readonly max: number;
}

/** The operation with probability `prob`, at magnitude m with the given variation; else none. */
export function sampleOp(name: LevelName, prob: number, magnitude: number, { std, max }: Spread, draws: Draws): AugmentOp | null {
  if (prob < 1 && draws.uniform() > prob) return null;
  let m = magnitude;
  if (std === Infinity) m = draws.uniform(0, magnitude);
  else if (std > 0) m = magnitude + draws.normal() * std;
  const toOp: ToOp = LEVELS[name];
  return toOp(Math.max(0, Math.min(m, max)), draws);
}

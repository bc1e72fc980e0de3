/**
 * RandAugment by timm's strings: `n` operations of fifteen, uniformly and with replacement, each with probability `p`.
 *
 * Cubuk et al. 2019, https://arxiv.org/abs/1909.13719; the deviation of magnitudes and the increasing set are timm's.
 */
import { quote } from "../../models/shown.ts";
import type { Draws } from "./draws.ts";
import { sampleOp, type LevelName, type Spread } from "./levels.ts";
import type { AugmentOp } from "./ops.ts";

export interface RandAugment extends Spread {
  readonly kind: "rand";
  readonly magnitude: number;
  /** Number of operations per image. */
  readonly layers: number;
  readonly prob: number;
  readonly increasing: boolean;
}

export const RAND_OPS: readonly LevelName[] = [
  "AutoContrast",
  "Equalize",
  "Invert",
  "Rotate",
  "Posterize",
  "Solarize",
  "SolarizeAdd",
  "Color",
  "Contrast",
  "Brightness",
  "Sharpness",
  "ShearX",
  "ShearY",
  "TranslateXRel",
  "TranslateYRel",
];
export const RAND_INCREASING_OPS: readonly LevelName[] = [
  "AutoContrast",
  "Equalize",
  "Invert",
  "Rotate",
  "PosterizeIncreasing",
  "SolarizeIncreasing",
  "SolarizeAdd",
  "ColorIncreasing",
  "ContrastIncreasing",
  "BrightnessIncreasing",
  "SharpnessIncreasing",
  "ShearX",
  "ShearY",
  "TranslateXRel",
  "TranslateYRel",
];

/** Most operations per image: each is drawn, sent to the GPU and launched. */
const MOST_LAYERS = 64;

const SECTIONS = "m, n, p, mstd, mmax and inc, each once";

/**
 * `rand-m9-mstd0.5-inc1`, for one: m is the magnitude (10), n how many operations (2), p each one's probability (0.5), mstd the
 * magnitude's deviation (0; above 100 it is uniform below m), mmax its upper bound (10), inc1 the increasing set. Order is free.
 */
export function parseRandAugment(text: string): RandAugment {
  const refuse = (what: string): never => {
    throw new Error(`RandAugment: expected ${what} in ${quote(text)}`);
  };
  const values = new Map<string, number>();
  const [head, ...sections] = text.split("-");
  if (head !== "rand") refuse(`"rand" first`);
  for (const section of sections) {
    const [, key = "", value = ""] = /^([a-z]*)(.*)$/is.exec(section)!;
    if (key === "t" || key === "w" || /^t\D/.test(section))
      refuse(`no section ${quote(section)} (other sets and weights of operations are not done)`);
    if (!["m", "n", "p", "mstd", "mmax", "inc"].includes(key) || values.has(key)) refuse(`sections ${SECTIONS}, got ${quote(section)}`);
    const whole = key !== "p" && key !== "mstd";
    if (!(whole ? /^\d+$/ : /^\d+\.?\d*$/).test(value)) refuse(`${whole ? "an integer" : "a number"} after ${key}, got ${quote(section)}`);
    values.set(key, Number(value));
  }
  const prob = values.get("p") ?? 0.5;
  if (prob > 1) refuse(`a probability after p, got ${prob}`);
  const layers = values.get("n") ?? 2;
  if (layers > MOST_LAYERS) refuse(`at most ${MOST_LAYERS} operations after n, got ${layers}`);
  const std = values.get("mstd") ?? 0;
  return {
    kind: "rand",
    magnitude: values.get("m") ?? 10,
    layers,
    prob,
    std: std > 100 ? Infinity : std,
    max: values.get("mmax") || 10,
    increasing: Boolean(values.get("inc")),
  };
}

export function sampleRandAugment(policy: RandAugment, draws: Draws): AugmentOp[] {
  const names = policy.increasing ? RAND_INCREASING_OPS : RAND_OPS;
  const chosen = Array.from({ length: policy.layers }, () => names[draws.int(names.length)]!); // before any is applied, as in timm
  return chosen.flatMap((name) => sampleOp(name, policy.prob, policy.magnitude, policy, draws) ?? []);
}

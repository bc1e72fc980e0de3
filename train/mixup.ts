/**
 * What a batch's mixing draws: mixup or CutMix, how much, and where. One draw for the whole batch, from (seed, step) alone.
 *
 * As in timm 0.3.2: mixup's share from Beta(alpha, alpha); CutMix's box has sides in proportion sqrt(1 - lam), its share is
 * corrected to the box that is left after clipping.
 */
import { Random } from "../engine/random.ts";
import type { Recipe } from "./recipe.ts";

export interface Mix {
  readonly mode: "none" | "mixup" | "cutmix";
  /** The image's own share in its label. */
  readonly lam: number;
  /** y0, y1, x0, x1; ends excluded. */
  readonly box: readonly [number, number, number, number];
}

const STREAM = 0x6d697875; // "mixu"
const NONE: Mix = { mode: "none", lam: 1, box: [0, 0, 0, 0] };

export function sampleMix(recipe: Pick<Recipe, "mixup" | "cutmix" | "mixProb" | "mixSwitchProb">, seed: number, step: number, height: number, width: number): Mix {
  const { mixup, cutmix, mixProb, mixSwitchProb } = recipe;
  if (mixup === 0 && cutmix === 0) return NONE;
  const random = new Random(seed, STREAM, step * 2 ** 20); // a step's draws start in a block of their own
  if (random.uniform() >= mixProb) return NONE;
  const cuts = mixup > 0 && cutmix > 0 ? random.uniform() < mixSwitchProb : cutmix > 0;
  const lam = cuts ? random.beta(cutmix, cutmix) : random.beta(mixup, mixup);
  if (lam === 1) return NONE;
  if (!cuts) return { mode: "mixup", lam, box: [0, 0, 0, 0] };
  const box = cutmixBox(lam, height, width, random.int(height), random.int(width));
  const [y0, y1, x0, x1] = box;
  return { mode: "cutmix", lam: 1 - ((y1 - y0) * (x1 - x0)) / (height * width), box };
}

/** The box of share 1 - lam around a centre, clipped to the image. */
export function cutmixBox(lam: number, height: number, width: number, cy: number, cx: number): [number, number, number, number] {
  const ratio = Math.sqrt(1 - lam);
  const halfH = Math.floor(Math.trunc(height * ratio) / 2);
  const halfW = Math.floor(Math.trunc(width * ratio) / 2);
  const clip = (v: number, most: number) => Math.min(most, Math.max(0, v));
  return [clip(cy - halfH, height), clip(cy + halfH, height), clip(cx - halfW, width), clip(cx + halfW, width)];
}

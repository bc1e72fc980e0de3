/**
 * Draws of mixing: mixup or CutMix, the share, and the box; for a batch, for each pair of images, or for each image. Image i is mixed with
 * image B - 1 - i of the batch, or of its part of the batch: equal parts have separate draws, as the official code's GPUs have. A draw
 * depends only on (seed, step) and on its place within the batch.
 *
 * As in timm 0.3.2: mixup's share from Beta(alpha, alpha); CutMix's box has sides in proportion sqrt(1 - lam), its share is
 * corrected to the box that is left after clipping.
 * Zhang et al. 2017, https://arxiv.org/abs/1710.09412; Yun et al. 2019, https://arxiv.org/abs/1905.04899
 */
import { Random } from "../../kernels/shared/random.ts";
import { beta } from "./beta.ts";
import { randomAt } from "./draws.ts";

export interface MixSettings {
  /** Alpha of mixup's Beta distribution; 0: off. */
  readonly mixup: number;
  /** Alpha of CutMix's Beta distribution; 0: off. */
  readonly cutmix: number;
  /** CutMix's sides as shares of the image's, uniform between these two instead of by share; alpha is 1 then. */
  readonly cutmixMinmax?: readonly [number, number] | null;
  /** Share of draws that mix at all, and share of those that get CutMix if both are on; in [0, 1]. */
  readonly mixProb: number;
  readonly mixSwitchProb: number;
}

/** The scope of one draw. "half" draws per image and returns the first half of the batch, mixed with the second. */
export type MixMode = "batch" | "pair" | "elem" | "half";

export interface Mix {
  readonly mode: "none" | "mixup" | "cutmix";
  /** The image's own share in its label, in [0, 1]. */
  readonly lam: number;
  /** y0, y1, x0, x1; ends excluded. */
  readonly box: readonly [number, number, number, number];
}

/** Random numbers of one mix: of a `Random`, or recorded ones. */
export interface MixDraws extends Pick<Random, "uniform" | "int"> {
  beta(a: number, b: number): number;
}

const drawsOf = (random: Random): MixDraws => ({
  uniform: (low, high) => random.uniform(low, high),
  int: (n) => random.int(n),
  beta: (a, b) => beta(random, a, b),
});

const STREAM = 0x6d697875; // "mixu"
const ROWS = 0x6d697872; // "mixr"
const NONE: Mix = { mode: "none", lam: 1, box: [0, 0, 0, 0] };

/** The whole batch's draw. */
export const sampleMix = (settings: MixSettings, seed: number, step: number, height: number, width: number): Mix =>
  drawMix(settings, drawsOf(new Random(seed, STREAM, step * 2 ** 20)), height, width); // each step's draws start at a separate block

/** One `Mix` for each image that the mixed batch has: `count` of them, or half in mode "half". `groupSize` images are mixed among each other. */
export function sampleMixes(
  settings: MixSettings & { readonly mixMode: MixMode },
  seed: number,
  step: number,
  count: number,
  height: number,
  width: number,
  groupSize = count,
): Mix[] {
  const { mixMode } = settings;
  if (!Number.isInteger(groupSize) || groupSize < 2 || groupSize % 2 !== 0)
    throw new Error(`sampleMixes: expected an even count of images, got ${groupSize}`);
  if (count % groupSize !== 0) throw new Error(`sampleMixes: expected a count of images that ${groupSize} divides, got ${count}`);
  const parts = count / groupSize;
  const draws = mixMode === "elem" ? groupSize : groupSize / 2;
  return Array.from({ length: parts }, (_, part) => {
    if (mixMode === "batch") return new Array<Mix>(groupSize).fill(sampleMix(settings, seed, step * parts + part, height, width));
    const rows = Array.from({ length: draws }, (_, row) =>
      drawMix(settings, drawsOf(randomAt(seed, ROWS, [step, part * draws + row, 0])), height, width),
    );
    return mixMode === "pair" ? [...rows, ...rows.toReversed()] : rows;
  }).flat();
}

export interface MixArrays {
  /** (B): shares in the labels. */
  readonly lam: Float32Array<ArrayBuffer>;
  /** (B): shares in the pixels; 1 where mixup is not drawn. */
  readonly imageLam: Float32Array<ArrayBuffer>;
  /** (B, 4), empty where CutMix is not drawn. */
  readonly boxes: Uint32Array<ArrayBuffer>;
}

/** The same as arrays, for kernels. */
export function mixArrays(mixes: readonly Mix[]): MixArrays {
  return {
    lam: Float32Array.from(mixes, ({ lam }) => lam),
    imageLam: Float32Array.from(mixes, ({ mode, lam }) => (mode === "mixup" ? lam : 1)),
    boxes: Uint32Array.from(mixes.flatMap(({ box }) => box)),
  };
}

/** One draw. The sequence: mixed at all, CutMix or mixup, share, then the box. */
export function drawMix(settings: MixSettings, random: MixDraws, height: number, width: number): Mix {
  const { mixup, cutmixMinmax = null, mixProb, mixSwitchProb } = settings;
  const cutmix = cutmixMinmax ? 1 : settings.cutmix;
  if (mixup === 0 && cutmix === 0) return NONE;
  if (random.uniform() >= mixProb) return NONE;
  const cuts = mixup > 0 && cutmix > 0 ? random.uniform() < mixSwitchProb : cutmix > 0;
  const lam = cuts ? random.beta(cutmix, cutmix) : random.beta(mixup, mixup);
  if (lam === 1) return NONE;
  if (!cuts) return { mode: "mixup", lam, box: [0, 0, 0, 0] };
  const box = cutmixMinmax
    ? minmaxBox(cutmixMinmax, height, width, random)
    : cutmixBox(lam, height, width, random.int(height), random.int(width));
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

/** A box inside the image with sides of `least` to `most` of the image's, the upper end excluded. */
function minmaxBox(
  [least, most]: readonly [number, number],
  height: number,
  width: number,
  random: Pick<Random, "int">,
): [number, number, number, number] {
  const side = (size: number): number => {
    const [from, to] = [Math.trunc(size * least), Math.trunc(size * most)];
    if (!(from >= 0 && from < to && to <= size)) {
      throw new Error(`cutmixMinmax: expected shares in [0, 1] that leave sides of ${size} pixels a choice, got ${least} and ${most}`);
    }
    return from + random.int(to - from);
  };
  const [h, w] = [side(height), side(width)];
  const top = random.int(height - h + 1);
  const left = random.int(width - w + 1);
  return [top, top + h, left, left + w];
}

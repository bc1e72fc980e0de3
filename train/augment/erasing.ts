/**
 * Random erasing: boxes of the normalised image overwritten, with noise per element ("pixel"), per channel ("rand") or zeros ("const").
 *
 * A box's area is uniform in 2 % to 1/3 of the image's (divided among the boxes), its aspect log-uniform in 0.3 to 1/0.3; ten tries for one
 * that is smaller than the image on both sides. As in timm. Zhong et al. 2017, https://arxiv.org/abs/1708.04896
 */
import { Random } from "../../kernels/shared/random.ts";
import { ERASE_NOISE } from "../../kernels/augment/finish.ts";
import { roundHalfEven } from "../../models/images/preprocess.ts";
import type { Draws } from "./draws.ts";
import type { Box } from "./geometry.ts";

export interface Erasing {
  /** Share of images with erased boxes, in [0, 1]. */
  readonly prob: number;
  readonly mode: "pixel" | "rand" | "const";
  /** Such an image gets 1 to `count` boxes. */
  readonly count: number;
}

export interface EraseBox extends Box {
  readonly mode: Erasing["mode"];
  /** Seed of the box's noise. */
  readonly seed: number;
}

const [LEAST_SHARE, MOST_SHARE] = [0.02, 1 / 3];
const ASPECT = [Math.log(0.3), Math.log(1 / 0.3)] as const;

export function sampleErasing({ prob, count }: Pick<Erasing, "prob" | "count">, height: number, width: number, draws: Draws): Box[] {
  if (draws.uniform() > prob) return [];
  const boxes: Box[] = [];
  const many = count === 1 ? 1 : 1 + draws.int(count);
  for (let k = 0; k < many; k++) {
    for (let attempt = 0; attempt < 10; attempt++) {
      const area = (draws.uniform(LEAST_SHARE, MOST_SHARE) * (height * width)) / many;
      const aspect = Math.exp(draws.uniform(...ASPECT));
      const h = roundHalfEven(Math.sqrt(area * aspect));
      const w = roundHalfEven(Math.sqrt(area / aspect));
      if (w >= width || h >= height) continue;
      boxes.push({ top: draws.int(height - h + 1), left: draws.int(width - w + 1), height: h, width: w });
      break;
    }
  }
  return boxes;
}

/**
 * Overwrites the boxes of one normalised image (channels, height, width), in their order. "pixel" takes normal numbers of the box's seed
 * channel by channel and row by row, "rand" one for each channel.
 */
export function eraseBoxes(
  x: Float32Array,
  [channels, height, width]: readonly [number, number, number],
  boxes: readonly EraseBox[],
): void {
  if (x.length !== channels * height * width) {
    throw new Error(`eraseBoxes: expected ${channels * height * width} elements for (${channels}, ${height}, ${width}), got ${x.length}`);
  }
  for (const box of boxes) {
    const random = new Random(box.seed, ERASE_NOISE);
    for (let c = 0; c < channels; c++) {
      const colour = box.mode === "rand" ? random.normal() : 0;
      for (let y = box.top; y < box.top + box.height; y++) {
        for (let i = (c * height + y) * width + box.left, end = i + box.width; i < end; i++)
          x[i] = box.mode === "pixel" ? random.normal() : colour;
      }
    }
  }
}

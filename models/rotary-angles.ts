/** The angles by which rotary position embeddings turn a head's pairs of channels at each patch, as DINOv3 and EVA-02 have them. */
import type { DeitConfig } from "./deit-config.ts";

/** Patches per side of the grid that EVA-02 was pretrained on: places of other grids are scaled to it. */
const EVA02_SIDE = 16;

export interface RotaryAngles {
  /** (patches, width of a head / 2) each: of the pair's angle, the first half of pairs by the row, the others by the column. */
  readonly cos: Float32Array;
  readonly sin: Float32Array;
  /** Whether pairs are channels half a head apart; else they are neighbours. */
  readonly half: boolean;
}

/**
 * Angles are place times frequency. DINOv3: places are centres of patches, from -1 to 1 over the image, frequencies 2 pi / 100^(k / n) of
 * its n pairs per axis; EVA-02: places are numbers of rows and columns of its own grid, frequencies 10000^(-k / n).
 * In f64, rounded once.
 */
export function rotaryAngles({ imgSize, patchSize, dim, heads, rope }: DeitConfig): RotaryAngles {
  const side = imgSize / patchSize;
  const n = dim / heads / 4;
  const half = rope === "dinov3";
  const place = (i: number): number => (half ? (2 * (i + 0.5)) / side - 1 : (i / side) * EVA02_SIDE);
  const frequency = (k: number): number => (half ? (2 * Math.PI) / 100 ** (k / n) : 10_000 ** (-k / n));
  const angles = Float64Array.from({ length: side * side * 2 * n }, (_, at) => {
    const patch = Math.floor(at / (2 * n)),
      pair = at % (2 * n);
    return place(pair < n ? Math.floor(patch / side) : patch % side) * frequency(pair % n);
  });
  return { cos: Float32Array.from(angles, Math.cos), sin: Float32Array.from(angles, Math.sin), half };
}

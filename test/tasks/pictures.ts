/** Pictures and small models for tests of the library: what a page would hold as ImageData. */
import { Random } from "../../kernels/shared/random.ts";
import { createModel } from "../../models/model.ts";
import { initialState } from "../../models/params.ts";
import { writeWeights } from "../../models/checkpoints/weights.ts";
import type { Example } from "../../tasks/api.ts";

export function picture(width: number, height: number, color: (x: number, y: number) => readonly [number, number, number]): ImageData {
  const data = new Uint8ClampedArray(4 * width * height);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) data.set([...color(x, y), 255], 4 * (y * width + x));
  return { width, height, data, colorSpace: "srgb" } as ImageData;
}

const COLORS = { red: [220, 40, 40], green: [40, 200, 60], blue: [50, 70, 230] } as const;

/** `each` noisy pictures of each colour, of sizes that differ. */
export function coloredExamples(each: number, seed = 1): Example[] {
  const random = new Random(seed, 0);
  const noise = () => random.uniform(-40, 40);
  return Array.from({ length: each }, (_, i) =>
    Object.entries(COLORS).map(([label, [r, g, b]]) => ({
      label,
      image: picture(20 + (i % 5), 24 - (i % 3), () => [r + noise(), g + noise(), b + noise()]),
    })),
  ).flat();
}

export const TINY = {
  arch: "deit",
  imgSize: 16,
  patchSize: 4,
  inChans: 3,
  dim: 24,
  depth: 2,
  heads: 2,
  mlpRatio: 2,
  numClasses: 5,
  distilled: true,
} as const;
export const LABELS = ["a", "b", "c", "d", "e"];

/** A file of ours with random weights. */
export function tinyFile(config: Readonly<Record<string, unknown>> = TINY, labels: readonly string[] = LABELS): Uint8Array {
  const model = createModel(config);
  return writeWeights(initialState(model.params, 7), { config: model.config, classes: labels });
}

/** The cases of augmentation share these: pictures of every kind, how far two of them differ, and which operations move pixels. */
import type { RgbImage } from "../models/images/preprocess.ts";
import { unitValue } from "./golden/fill.ts";

/** Bytes by kind: any, one colour, few values, mostly one value, the whole range once along x. */
export function picture(kind: string, height: number, width: number, k: number): RgbImage {
  const data = Uint8Array.from({ length: 3 * height * width }, (_, i) => {
    const v = Math.floor(128 * (unitValue(i, k) + 1));
    const [y, x] = [Math.floor(i / 3 / width), Math.floor(i / 3) % width];
    switch (kind) {
      case "constant":
        return 40 + 70 * (i % 3);
      case "narrow":
        return 100 + (v % (20 + 7 * (i % 3)));
      case "bright":
        return v < 200 ? 255 : v - 200;
      // As augment.py draws it.
      case "photo":
        return [(x * 5 + y * 2) % 256, (x * height > y * width ? 220 : 40) + (v % 16), Math.floor((x * x + y * y) / 7) % 256][i % 3]!;
      case "smooth":
        return (x * 5 + y * 2 + 90 * (i % 3)) % 256;
      default:
        return v;
    }
  });
  return { height, width, data };
}

/** Differing bytes, and the largest difference. */
export function difference(a: RgbImage, b: RgbImage): { count: number; most: number } {
  if (a.height !== b.height || a.width !== b.width) throw new Error(`expected ${b.height}x${b.width}, got ${a.height}x${a.width}`);
  let [count, most] = [0, 0];
  b.data.forEach((v, i) => {
    const e = Math.abs(v - a.data[i]!);
    if (e > 0) count++;
    most = Math.max(most, e);
  });
  return { count, most };
}

/** Operations that move pixels between others. */
export const GEOMETRIC = /^(Rotate|Shear|Translate)/;

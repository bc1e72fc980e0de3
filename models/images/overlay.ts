/** Shows a map over patches on its image. */
import { resizeBicubic, type RgbImage } from "./preprocess.ts";

/** Brightness left where the map is 0. */
const DIM = 0.15;

/** The image as bright as the map, relative to its largest value. `map`: (side, side), none negative, over all of the image. */
export function overlay(image: RgbImage, map: Float32Array, side: number): RgbImage {
  if (map.length !== side * side) throw new Error(`overlay: expected ${side * side} values for ${side}x${side}, got ${map.length}`);
  const most = map.reduce((a, v) => Math.max(a, v), 0);
  const bytes = Uint8Array.from({ length: 3 * side * side }, (_, i) => (most > 0 ? Math.round((255 * map[Math.floor(i / 3)]!) / most) : 0));
  const light = resizeBicubic({ height: side, width: side, data: bytes }, image.height, image.width).data;
  return { ...image, data: image.data.map((v, i) => Math.round(v * (DIM + ((1 - DIM) * light[i]!) / 255))) };
}

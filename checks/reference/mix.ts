/** Mixing and normalising in plain f64 loops. */
import { numel, type Shape } from "../../engine/shape.ts";

const partner = (i: number, n: number, B: number): number => {
  const per = n / B;
  return (B - 1 - Math.floor(i / per)) * per + (i % per);
};

export const mixupReference =
  (B: number, lam: number) =>
  (x: Float64Array): Float64Array =>
    x.map((v, i) => lam * v + (1 - lam) * x[partner(i, x.length, B)]!);

export const cutmixReference =
  ([B, , H, W]: Shape, [y0, y1, x0, x1]: readonly number[]) =>
  (x: Float64Array): Float64Array =>
    x.map((v, i) => {
      const [row, column] = [Math.floor(i / W!) % H!, i % W!];
      return row >= y0! && row < y1! && column >= x0! && column < x1! ? x[partner(i, x.length, B!)]! : v;
    });

export function targetsReference(labels: readonly number[], classes: number, lam: number, smoothing: number): number[] {
  const smooth = (y: number) => Array.from({ length: classes }, (_, k) => (k === y ? 1 - smoothing : 0) + smoothing / classes);
  return labels.flatMap((y, b) => {
    const other = smooth(labels[labels.length - 1 - b]!);
    return smooth(y).map((v, k) => lam * v + (1 - lam) * other[k]!);
  });
}

export const normalizeReference = ([B, C, H, W]: Shape, bytes: Uint8Array, mean: readonly number[], std: readonly number[]): number[] =>
  Array.from({ length: numel([B!, C!, H!, W!]) }, (_, i) => {
    const c = Math.floor(i / (H! * W!)) % C!;
    return (bytes[i]! / 255 - mean[c]!) / std[c]!;
  });

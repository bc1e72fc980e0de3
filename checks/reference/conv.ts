/** Convolution, batch normalization and pooling in plain f64 loops. */
import type { Shape } from "../../engine/shape.ts";

interface Conv {
  readonly x: Shape;
  readonly weight: Shape;
  readonly stride?: number;
  readonly padding?: number;
  readonly groups?: number;
}

export const convReference =
  ({ x: [B = 0, , H = 0, W = 0], weight: [O = 0, C = 0, kh = 0, kw = 0], stride = 1, padding = 0, groups = 1 }: Conv) =>
  (x: Float64Array, weight: Float64Array, bias?: Float64Array): Float64Array => {
    const Ho = Math.floor((H + 2 * padding - kh) / stride) + 1,
      Wo = Math.floor((W + 2 * padding - kw) / stride) + 1;
    const y = new Float64Array(B * O * Ho * Wo);
    let at = 0;
    for (let b = 0; b < B; b++)
      for (let o = 0; o < O; o++)
        for (let i = 0; i < Ho; i++)
          for (let j = 0; j < Wo; j++) {
            const g = Math.floor(o / (O / groups));
            let s = bias?.[o] ?? 0;
            for (let c = 0; c < C; c++)
              for (let u = 0; u < kh; u++)
                for (let v = 0; v < kw; v++) {
                  const h = i * stride + u - padding,
                    w = j * stride + v - padding;
                  if (h < 0 || h >= H || w < 0 || w >= W) continue;
                  s += weight[((o * C + c) * kh + u) * kw + v]! * x[((b * C * groups + g * C + c) * H + h) * W + w]!;
                }
            y[at++] = s;
          }
    return y;
  };

/** Stride 1, odd kernels, channels last, the image's size kept. */
export const depthwiseReference =
  ([B = 0, H = 0, W = 0, C = 0]: Shape, [, , K = 0]: Shape) =>
  (x: Float64Array, weight: Float64Array, bias?: Float64Array): Float64Array => {
    const P = (K - 1) / 2;
    return Float64Array.from({ length: B * H * W * C }, (_, at) => {
      const [c, j, i, b] = [at % C, Math.floor(at / C) % W, Math.floor(at / (C * W)) % H, Math.floor(at / (C * W * H))];
      let s = bias?.[c] ?? 0;
      for (let h = Math.max(i - P, 0); h <= Math.min(i + P, H - 1); h++)
        for (let w = Math.max(j - P, 0); w <= Math.min(j + P, W - 1); w++)
          s += weight[(c * K + h - i + P) * K + w - j + P]! * x[((b * H + h) * W + w) * C + c]!;
      return s;
    });
  };

/** x seen as (B, C, P): mean and biased variance of each channel. */
export function channelStats(
  x: Float64Array,
  [B, C, P]: readonly [number, number, number],
): { mean: Float64Array; variance: Float64Array } {
  const mean = new Float64Array(C),
    variance = new Float64Array(C);
  x.forEach((v, i) => {
    mean[Math.floor(i / P) % C]! += v / (B * P);
  });
  x.forEach((v, i) => {
    variance[Math.floor(i / P) % C]! += (v - mean[Math.floor(i / P) % C]!) ** 2 / (B * P);
  });
  return { mean, variance };
}

/** With running statistics, or with x's own where none are given. */
export const batchNormReference =
  (
    dims: readonly [number, number, number],
    {
      eps = 1e-5,
      relu = false,
      running,
    }: { eps?: number; relu?: boolean; running?: { mean: ArrayLike<number>; variance: ArrayLike<number> } } = {},
  ) =>
  (x: Float64Array, weight: Float64Array, bias: Float64Array): Float64Array => {
    const { mean, variance } = running ?? channelStats(x, dims);
    return x.map((v, i) => {
      const c = Math.floor(i / dims[2]) % dims[1];
      const y = ((v - mean[c]!) / Math.sqrt(variance[c]! + eps)) * weight[c]! + bias[c]!;
      return relu ? Math.max(y, 0) : y;
    });
  };

/** x seen as (B * C, P). */
export const poolReference =
  (P: number) =>
  (x: Float64Array): Float64Array =>
    Float64Array.from({ length: x.length / P }, (_, i) => x.subarray(i * P, (i + 1) * P).reduce((a, b) => a + b, 0) / P);

export const scaleReference =
  (P: number) =>
  (x: Float64Array, s: Float64Array): Float64Array =>
    x.map((v, i) => v * s[Math.floor(i / P)]!);

/** Windows of `kernel` x `kernel` pixels; padding is below every pixel. */
export const maxPoolReference =
  (
    [, , H = 0, W = 0]: readonly number[],
    { kernel, stride, padding }: { readonly kernel: number; readonly stride: number; readonly padding: number },
  ) =>
  (x: Float64Array): Float64Array => {
    const [HO, WO] = [H, W].map((size) => Math.floor((size + 2 * padding - kernel) / stride) + 1) as [number, number];
    return Float64Array.from({ length: (x.length / (H * W)) * HO * WO }, (_, t) => {
      const [image, i, j] = [Math.floor(t / (HO * WO)), Math.floor(t / WO) % HO, t % WO];
      let best = -Infinity;
      for (let h = i * stride - padding; h < i * stride - padding + kernel; h++)
        for (let w = j * stride - padding; w < j * stride - padding + kernel; w++)
          if (h >= 0 && h < H && w >= 0 && w < W) best = Math.max(best, x[image * H * W + h * W + w]!);
      return best;
    });
  };

/** Mixing by one `Mix` per image in plain f64 loops. Image i meets image B - 1 - i; there may be mixes for the first images only. */
import { numel, type Shape } from "../../engine/shape.ts";
import type { Mix } from "../../train/augment/mixup.ts";

/** x (B, C, H, W) to (mixes, C, H, W). */
export function mixesReference(mixes: readonly Mix[], [B, C, H, W]: Shape, x: ArrayLike<number>): number[] {
  const per = numel([C!, H!, W!]);
  return mixes.flatMap(({ mode, lam, box: [y0, y1, x0, x1] }, b) =>
    Array.from({ length: per }, (_, i) => {
      const [row, column] = [Math.floor(i / W!) % H!, i % W!];
      const own = x[b * per + i]!,
        other = x[(B! - 1 - b) * per + i]!;
      if (mode === "mixup") return lam * own + (1 - lam) * other;
      return mode === "cutmix" && row >= y0 && row < y1 && column >= x0 && column < x1 ? other : own;
    }),
  );
}

/** Labels (B) to smoothed targets (mixes, classes). */
export function mixedTargetsReference(mixes: readonly Mix[], labels: readonly number[], classes: number, smoothing: number): number[] {
  const on = (label: number, k: number): number => smoothing / classes + (label === k ? 1 - smoothing : 0);
  return mixes.flatMap(({ lam }, b) =>
    Array.from({ length: classes }, (_, k) => lam * on(labels[b]!, k) + (1 - lam) * on(labels[labels.length - 1 - b]!, k)),
  );
}

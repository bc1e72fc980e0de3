/**
 * DeiT's f32 training steps as they were measured on an H100 (batch 256, bench/results/steps/h100-last/models.json), with the launches that they
 * had then: recorded from the code of that run, commit bda1d8e4b526. Today's launches are others, so that the model of roofline.ts is held to
 * these.
 */
import type { PaperLaunch } from "./launches.ts";

/** count, M, N, K, matrices, tile's rows and columns, workgroups, parts of K, loads of 16 bytes, sums of A. */
type Product = readonly [number, number, number, number, number, number, number, number, number, boolean, boolean];

interface Measured {
  /** Median of ten samples. */
  readonly seconds: number;
  readonly products: readonly Product[];
  /** All other launches. */
  readonly others: { readonly launches: number; readonly bytes: number };
}

export const MEASURED = {
  deit_tiny_patch16_224: {
    seconds: 0.07085,
    products: [
      [1, 50432, 192, 768, 1, 128, 64, 1182, 1, false, false],
      [12, 50432, 576, 192, 1, 128, 128, 1970, 1, true, false],
      [24, 197, 200, 64, 768, 128, 128, 3072, 1, true, false],
      [48, 197, 64, 197, 768, 128, 64, 1536, 1, true, false],
      [24, 50432, 192, 192, 1, 128, 64, 1182, 1, true, false],
      [24, 50432, 768, 192, 1, 128, 128, 2364, 1, true, false],
      [24, 50432, 192, 768, 1, 128, 64, 1182, 1, true, false],
      [1, 256, 1000, 192, 1, 32, 32, 256, 1, true, false],
      [1, 1000, 192, 256, 1, 32, 32, 192, 1, true, true],
      [1, 256, 192, 1000, 1, 32, 32, 144, 3, false, false],
      [12, 192, 768, 50432, 1, 64, 64, 540, 15, true, true],
      [12, 768, 192, 50432, 1, 128, 64, 522, 29, true, true],
      [12, 192, 192, 50432, 1, 64, 64, 513, 57, true, true],
      [12, 576, 192, 50432, 1, 64, 64, 513, 19, true, true],
      [12, 50432, 192, 576, 1, 128, 64, 1182, 1, true, false],
      [1, 192, 768, 50176, 1, 64, 64, 540, 15, false, true],
    ],
    others: { launches: 171, bytes: 16564953400 },
  },
  deit_small_patch16_224: {
    seconds: 0.2108,
    products: [
      [1, 50432, 384, 768, 1, 128, 128, 1182, 1, false, false],
      [12, 50432, 1152, 384, 1, 128, 128, 3546, 1, true, false],
      [24, 197, 200, 64, 1536, 128, 128, 6144, 1, true, false],
      [48, 197, 64, 197, 1536, 128, 64, 3072, 1, true, false],
      [24, 50432, 384, 384, 1, 128, 128, 1182, 1, true, false],
      [24, 50432, 1536, 384, 1, 128, 128, 4728, 1, true, false],
      [24, 50432, 384, 1536, 1, 128, 128, 1182, 1, true, false],
      [1, 256, 1000, 384, 1, 32, 32, 256, 1, true, false],
      [1, 1000, 384, 256, 1, 32, 32, 384, 1, true, true],
      [1, 256, 384, 1000, 1, 32, 32, 288, 3, false, false],
      [12, 384, 1536, 50432, 1, 128, 128, 540, 15, true, true],
      [12, 1536, 384, 50432, 1, 128, 128, 540, 15, true, true],
      [12, 384, 384, 50432, 1, 128, 128, 513, 57, true, true],
      [12, 1152, 384, 50432, 1, 128, 128, 513, 19, true, true],
      [12, 50432, 384, 1152, 1, 128, 128, 1182, 1, true, false],
      [1, 384, 768, 50176, 1, 128, 128, 522, 29, false, true],
    ],
    others: { launches: 171, bytes: 34145222200 },
  },
  deit_base_patch16_224: {
    seconds: 0.7482,
    products: [
      [1, 50432, 768, 768, 1, 128, 128, 2364, 1, false, false],
      [12, 50432, 2304, 768, 1, 128, 128, 7092, 1, true, false],
      [24, 197, 200, 64, 3072, 128, 128, 12288, 1, true, false],
      [48, 197, 64, 197, 3072, 128, 64, 6144, 1, true, false],
      [24, 50432, 768, 768, 1, 128, 128, 2364, 1, true, false],
      [24, 50432, 3072, 768, 1, 128, 128, 9456, 1, true, false],
      [24, 50432, 768, 3072, 1, 128, 128, 2364, 1, true, false],
      [1, 256, 1000, 768, 1, 64, 64, 192, 3, true, false],
      [1, 1000, 768, 256, 1, 64, 64, 192, 1, true, true],
      [1, 256, 768, 1000, 1, 64, 64, 144, 3, false, false],
      [12, 768, 3072, 50432, 1, 128, 128, 576, 4, true, true],
      [12, 3072, 768, 50432, 1, 128, 128, 576, 4, true, true],
      [12, 768, 768, 50432, 1, 128, 128, 540, 15, true, true],
      [12, 2304, 768, 50432, 1, 128, 128, 540, 5, true, true],
      [12, 50432, 768, 2304, 1, 128, 128, 2364, 1, true, false],
      [1, 768, 768, 50176, 1, 128, 128, 540, 15, false, true],
    ],
    others: { launches: 172, bytes: 68205534168 },
  },
} as const satisfies Readonly<Record<string, Measured>>;

/** The launches of a measured step. Of the others the bytes are shared evenly: to the model they add up alike. */
export function measuredLaunches({ products, others }: Measured): PaperLaunch[] {
  const made = products.flatMap(([count, M, N, K, matrices, bm, bn, workgroups, splits, vec, sums]) => {
    const product = {
      M,
      N,
      K,
      matrices,
      order: "",
      bm,
      bn,
      bk: 16,
      onMatrices: false,
      splits,
      workgroups,
      vec,
      sums,
      inputBytes: 4,
      outputBytes: 4,
    };
    return Array.from({ length: count }, (): PaperLaunch => ({ kernel: "gemm.shared", groups: workgroups, bytes: 0, product }));
  });
  const bytes = others.bytes / others.launches;
  return [...made, ...Array.from({ length: others.launches }, (): PaperLaunch => ({ kernel: "other", groups: 0, bytes, product: null }))];
}

/** Tests of sampling's distributions share these: records of one ingredient alone, and what counts as likely or unlikely. */
import { expect } from "vitest";
import type { AugmentOp } from "../../train/augment/ops.ts";
import { makeAugment, sampleImage, type AugmentFields, type ImageRecord } from "../../train/augment/sample.ts";

export const OFF = { crop: { kind: "none" }, hflip: 0, autoAugment: null, colorJitter: 0, erasing: { prob: 0 } } as const;
export const SIDE = 2000; // large, so that whole pixels are nearly continuous
export const range = (n: number) => Array.from({ length: n }, (_, i) => i);
/** Records of one ingredient alone, over images and epochs. */
export const draw = (fields: Partial<AugmentFields>, count: number, size = SIDE): ImageRecord[] => {
  const settings = makeAugment({ size, ...OFF, ...fields });
  return range(count).map((i) =>
    sampleImage(settings, { height: size, width: size }, { seed: 4, epoch: i % 5, image: Math.floor(i / 5), copy: 0 }),
  );
};
export const likely = (p: number, what?: string) => expect(p, what).toBeGreaterThan(1e-3);
export const unlikely = (p: number) => expect(p).toBeLessThan(1e-6);
export const find = <Name extends AugmentOp["op"]>(ops: readonly AugmentOp[], name: Name) =>
  ops.find((op) => op.op === name) as Extract<AugmentOp, { op: Name }> | undefined;
export const position = (from: number, side: number, whole: number): number => (from + 0.5) / (whole - side + 1);

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { cosineLr, linearScaledLr } from "../../train/schedule.ts";

interface Case { epochs: number; peak: number; warmupEpochs: number; warmupLr: number; minLr: number; official: number[]; fixed: number[]; after: number }
const { cases } = JSON.parse(readFileSync(new URL("../golden/schedule.json", import.meta.url), "utf8")) as { cases: Case[] };

test.each(cases)("cosineLr: as timm, $epochs epochs, warm-up $warmupEpochs", (c) => {
  const schedule = { epochs: c.epochs, peakLr: c.peak, warmupEpochs: c.warmupEpochs, warmupLr: c.warmupLr, minLr: c.minLr };
  for (const mode of ["official", "fixed"] as const) {
    c[mode].forEach((lr, epoch) => expect(cosineLr({ ...schedule, mode }, epoch) / lr - 1, `${mode} ${epoch}`).toBeCloseTo(0, 14));
  }
  expect(cosineLr({ ...schedule, mode: "fixed" }, c.epochs) - c.after).toBeCloseTo(0, 15);
});

test("cosineLr: the paper's recipe is the default, two epochs at the warm-up rate", () => {
  const at = (epoch: number) => cosineLr({ epochs: 300, peakLr: linearScaledLr(5e-4, 1024) }, epoch);
  expect([at(0), at(1)]).toEqual([1e-6, 1e-6]);
  expect(at(2)).toBeCloseTo(2.008e-4, 12);
  expect(at(150)).toBeCloseTo(5.101835e-4, 9);
  expect(at(299)).toBeCloseTo(1.010856e-5, 10);
});

test("linearScaledLr: lr * batch / 512", () => {
  expect(linearScaledLr(5e-4, 512)).toBe(5e-4);
  expect(linearScaledLr(5e-4, 64)).toBe(6.25e-5);
  expect(() => linearScaledLr(5e-4, 0)).toThrow("linearScaledLr: expected a positive batch, got 0");
});

test("cosineLr: refuses what makes no schedule", () => {
  expect(() => cosineLr({ epochs: 0, peakLr: 1 }, 0)).toThrow("cosineLr: expected epochs to be an integer of 1 or more, got 0");
  expect(() => cosineLr({ epochs: 10, peakLr: 1 }, 1.5)).toThrow("cosineLr: expected epoch to be an integer of 0 or more, got 1.5");
  expect(() => cosineLr({ epochs: 10, peakLr: Number.NaN }, 0)).toThrow("cosineLr: expected a finite peakLr of 0 or more, got NaN");
});

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { makeRecipe } from "../../train/recipe.ts";
import { cosineLr, learningRate, linearScaledLr } from "../../train/schedule.ts";

interface Case {
  epochs: number;
  peak: number;
  warmupEpochs: number;
  warmupLr: number;
  minLr: number;
  official: number[];
  fixed: number[];
  after: number;
}
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

test("learningRate: by step, a line from the warm-up rate to the peak, then half a cosine to the least; the first half of that is as steep as the second", () => {
  const recipe = makeRecipe({ epochs: 10, warmupEpochs: 2, warmupLr: 1e-6, lr: 1e-3, minLr: 1e-5, scaleLr: false, schedule: "step" });
  const at = (step: number) => learningRate(recipe, { epoch: Math.floor(step / 40), step, stepsPerEpoch: 40 });
  expect(at(0)).toBe(1e-6);
  expect(at(40)).toBeCloseTo((1e-6 + 1e-3) / 2, 12);
  expect(at(79)).toBeLessThan(1e-3);
  expect(at(80)).toBeCloseTo(1e-3, 12);
  expect(at(240)).toBeCloseTo((1e-3 + 1e-5) / 2, 12);
  expect(at(160) + at(320)).toBeCloseTo(1e-3 + 1e-5, 12);
  expect(at(399)).toBeGreaterThan(1e-5);
  expect(at(400)).toBeCloseTo(1e-5, 12);
});

test("learningRate: by epoch as the official code, or without its delay; the peak scaled by the whole batch, parts or not", () => {
  const of = (more: object) => learningRate(makeRecipe({ batchSize: 1024, ...more }), { epoch: 6, step: 7000, stepsPerEpoch: 1251 });
  expect(of({})).toBe(cosineLr({ epochs: 300, peakLr: 1e-3 }, 6));
  expect(of({ accumulate: 4 })).toBe(of({}));
  expect(of({ schedule: "fixed" })).toBe(cosineLr({ epochs: 300, peakLr: 1e-3, mode: "fixed" }, 6));
  expect(of({ scaleLr: false })).toBe(cosineLr({ epochs: 300, peakLr: 5e-4 }, 6));
});

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Random } from "../../kernels/shared/random.ts";
import { beta } from "../../train/augment/beta.ts";
import { cutmixBox, sampleMix, type Mix } from "../../train/augment/mixup.ts";

const DEIT = { mixup: 0.8, cutmix: 1, mixProb: 1, mixSwitchProb: 0.5 };
const draws = (recipe: Parameters<typeof sampleMix>[0], n: number, height = 32, width = 32): Mix[] =>
  Array.from({ length: n }, (_, step) => sampleMix(recipe, 1, step, height, width));
const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

describe("sampleMix", () => {
  test("depends on seed and step alone", () => {
    expect(draws(DEIT, 20)).toEqual(draws(DEIT, 20));
    expect(sampleMix(DEIT, 1, 5, 32, 32)).toEqual(draws(DEIT, 6)[5]);
    expect(sampleMix(DEIT, 2, 5, 32, 32)).not.toEqual(sampleMix(DEIT, 1, 5, 32, 32));
    const shares = draws({ ...DEIT, cutmix: 0 }, 200).map(({ lam }) => lam);
    expect(new Set(shares).size).toBe(200);
  });

  test.each([1e-10, 1e-4, 1e-3, 2e-3])("Beta(%f, %f) is nearly 0 or 1, half of the time each, and never NaN", (alpha) => {
    const random = new Random(1, 2);
    const shares = Array.from({ length: 2000 }, () => beta(random, alpha, alpha));
    expect(shares.every((v) => v >= 0 && v <= 1)).toBe(true);
    expect(Math.abs(mean(shares) - 0.5)).toBeLessThan(4 * Math.sqrt(0.25 / 2000));
    // P(0.01 < X < 0.99) is about alpha log(99) for a small alpha.
    expect(shares.filter((v) => v > 0.01 && v < 0.99).length).toBeLessThan(2000 * alpha * Math.log(99) * 2 + 5);
  });

  test("Beta(1e300, 1e300) is 1/2", () => {
    expect(beta(new Random(1, 2), 1e300, 1e300)).toBeCloseTo(0.5, 6);
    expect(beta(new Random(1, 2), 1.7e308, 1.7e308)).toBeCloseTo(0.5, 6);
  });

  test("takes each way half of the time, mixup's share from Beta(.8, .8)", () => {
    const all = draws(DEIT, 8000);
    const mixups = all.filter((m) => m.mode === "mixup");
    expect(Math.abs(mixups.length - 4000)).toBeLessThan(4 * Math.sqrt(2000));
    expect(all.every((m) => m.mode !== "none")).toBe(true);
    const lams = mixups.map((m) => m.lam);
    const average = mean(lams);
    expect(average).toBeCloseTo(0.5, 1.5);
    expect(mean(lams.map((l) => (l - average) ** 2))).toBeCloseTo(1 / (4 * (2 * 0.8 + 1)), 2); // variance of Beta(a, a)
    expect(mixups.every((m) => m.box.every((v) => v === 0))).toBe(true);
  });

  test("CutMix's share is what its box leaves, whatever the image's size", () => {
    for (const [height, width] of [
      [32, 32],
      [7, 12],
      [1, 1],
    ] as const) {
      for (const {
        mode,
        lam,
        box: [y0, y1, x0, x1],
      } of draws({ ...DEIT, mixup: 0 }, 500, height, width)) {
        expect(mode).toBe("cutmix");
        expect(0 <= y0 && y0 <= y1 && y1 <= height && 0 <= x0 && x0 <= x1 && x1 <= width).toBe(true);
        expect(lam).toBe(1 - ((y1 - y0) * (x1 - x0)) / (height * width));
      }
    }
  });

  test("CutMix's boxes reach every pixel, and their share matches the centre's and the share's distribution", () => {
    const n = 32,
      count = 4000;
    const seen = new Float64Array(n * n);
    for (const {
      box: [y0, y1, x0, x1],
    } of draws({ ...DEIT, mixup: 0 }, count)) {
      for (let y = y0; y < y1; y++) for (let x = x0; x < x1; x++) seen[y * n + x]! += 1 / count;
    }
    // The box's expected area by summing over the centre and, finely, over the share.
    const side = (c: number, h: number) => Math.min(n, c + h) - Math.max(0, c - h);
    let expected = 0;
    const STEPS = 2000;
    for (let s = 0; s < STEPS; s++) {
      const h = Math.floor(Math.trunc(n * Math.sqrt((s + 0.5) / STEPS)) / 2);
      const across = mean(Array.from({ length: n }, (_, c) => side(c, h)));
      expected += across ** 2 / STEPS;
    }
    expect(Math.abs([...seen].reduce((a, b) => a + b, 0) - expected)).toBeLessThan(0.03 * expected);
    expect(Math.min(...seen)).toBeGreaterThan(0.05);
    expect(seen[0]!).toBeLessThan(seen[16 * n + 16]!); // the middle is under more boxes than a corner
  });

  test("what is switched off is never drawn", () => {
    expect(draws({ ...DEIT, mixup: 0, cutmix: 0 }, 50).every((m) => m.mode === "none" && m.lam === 1)).toBe(true);
    expect(draws({ ...DEIT, mixProb: 0 }, 50).every((m) => m.mode === "none")).toBe(true);
    expect(draws({ ...DEIT, cutmix: 0 }, 50).every((m) => m.mode === "mixup")).toBe(true);
    expect(draws({ ...DEIT, mixSwitchProb: 0 }, 50).every((m) => m.mode === "mixup")).toBe(true);
    expect(draws({ ...DEIT, mixSwitchProb: 1 }, 50).every((m) => m.mode === "cutmix")).toBe(true);
    // Bounds for CutMix's sides switch it on, as in timm, whatever its alpha.
    const bounded = { ...DEIT, cutmix: 0, cutmixMinmax: [0.25, 0.5] } as const;
    for (const {
      mode,
      box: [y0, y1, x0, x1],
    } of draws({ ...bounded, mixup: 0 }, 100)) {
      expect(mode).toBe("cutmix");
      for (const side of [y1 - y0, x1 - x0]) expect(side >= 8 && side < 16).toBe(true);
    }
    expect(new Set(draws(bounded, 50).map((m) => m.mode))).toEqual(new Set(["mixup", "cutmix"]));
    const some = draws({ ...DEIT, mixProb: 0.3 }, 4000).filter((m) => m.mode !== "none").length;
    expect(Math.abs(some - 1200)).toBeLessThan(4 * Math.sqrt(840));
  });
});

describe("cutmixBox", () => {
  test("has even sides of half the image's for a share of 3/4, around the centre", () => {
    expect(cutmixBox(0.75, 32, 32, 16, 10)).toEqual([8, 24, 2, 18]);
    expect(cutmixBox(0.75, 30, 22, 15, 11)).toEqual([8, 22, 6, 16]); // 15 and 11 pixels, halves rounded down
  });
  test("is clipped at the borders", () => {
    expect(cutmixBox(0.75, 32, 32, 0, 31)).toEqual([0, 8, 23, 32]);
    expect(cutmixBox(0, 32, 32, 16, 16)).toEqual([0, 32, 0, 32]);
    expect(cutmixBox(1, 32, 32, 5, 5)).toEqual([5, 5, 5, 5]);
  });
  test("never leaves the image", () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.integer({ min: 1, max: 400 }),
        fc.integer({ min: 1, max: 400 }),
        fc.nat(),
        fc.nat(),
        (lam, H, W, a, b) => {
          const [y0, y1, x0, x1] = cutmixBox(lam, H, W, a % H, b % W);
          return 0 <= y0 && y0 <= y1 && y1 <= H && 0 <= x0 && x0 <= x1 && x1 <= W && (y1 - y0) * (x1 - x0) <= (1 - lam) * H * W + 1e-9;
        },
      ),
    );
  });
});

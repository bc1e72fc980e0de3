import { expect, test } from "vitest";
import { Curve } from "../../jobs/files/curve.ts";

test("a curve of any length is a few points, each the mean of as many values", () => {
  const curve = new Curve();
  for (let i = 0; i < 10; i++) curve.add(i);
  expect(curve.points).toEqual(Array.from({ length: 10 }, (_, i) => i));
  for (let i = 10; i < 10_000; i++) {
    curve.add(i);
    expect(curve.points.length).toBeLessThanOrEqual(64);
  }
  const each = 256; // the least power of two that makes fewer than 64 points of 10,000 values
  expect(curve.points).toEqual(Array.from({ length: Math.floor(10_000 / each) }, (_, k) => k * each + (each - 1) / 2));
});

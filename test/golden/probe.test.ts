import { expect, test } from "vitest";
import { uniform } from "../../checks/check.ts";
import { distance, probe } from "./probe.ts";

const values = uniform(5000, 1);
const recorded = probe(values);
const norm = recorded[0]!;

test("probe: the same tensor is at distance 0", () => {
  expect(norm).toBeCloseTo(Math.sqrt(values.reduce((a, v) => a + v * v, 0)), 10);
  expect(distance(values, recorded)).toBe(0);
});

test("probe: one wrong element shows in full, wherever it is", () => {
  for (const i of [0, 1, 2500, 4999]) expect(distance(values.with(i, values[i]! + 0.25), recorded)).toBeCloseTo(0.25 / norm, 9);
});

test("probe: an error spread over the tensor, or one that keeps its norm, shows in its size", () => {
  for (let seed = 2; seed < 12; seed++) {
    const error = uniform(5000, seed);
    const share = 1e-3 * Math.sqrt(error.reduce((a, v) => a + v * v, 0)) / norm;
    const found = distance(values.map((v, i) => v + 1e-3 * error[i]!), recorded);
    expect(found / share).toBeGreaterThan(0.4);
    expect(found / share).toBeLessThan(2);
  }
  expect(distance(values.toReversed(), recorded)).toBeGreaterThan(0.5);
  expect(distance(values.map((v) => -v), recorded)).toBeGreaterThan(1);
});

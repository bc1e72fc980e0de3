import { expect, test } from "vitest";
import { combineHeads, headChoices, isDistillationHead, isHead } from "../../models/heads.ts";
import { uniform } from "../../checks/check.ts";

const softmax = (z: readonly number[]): number[] => {
  const e = z.map(Math.exp);
  const sum = e.reduce((a, b) => a + b, 0);
  return e.map((v) => v / sum);
};
const argmax = (z: ArrayLike<number>): number => Array.from(z).reduce((best, v, i) => (v > z[best]! ? i : best), 0);

test("parameters of classifiers, by name", () => {
  const names = ["head.weight", "head.bias", "head_dist.weight", "head_dist.bias", "head.fc.weight", "head.fc.bias"];
  expect(names.filter(isHead)).toEqual(names);
  expect(names.filter(isDistillationHead)).toEqual(["head_dist.weight", "head_dist.bias"]);
  const others = ["norm.weight", "blocks.0.attn.qkv.weight", "headless.weight", "head", "head.norm.weight", "fc.head.weight"];
  expect(others.filter((name) => isHead(name) || isDistillationHead(name))).toEqual([]);
});

test("mean of logits and sum of softmaxes, row by row", () => {
  const [cls, dist] = [1, 2].map((seed) => Float32Array.from(uniform(15, seed), (v) => 6 * v));
  const [mean, sum] = [combineHeads("mean", cls!, dist!, 5), combineHeads("softmax-sum", cls!, dist!, 5)];
  for (let at = 0; at < 15; at += 5) {
    const rows = [cls!, dist!].map((z) => Array.from(z.subarray(at, at + 5)));
    const expected = softmax(rows[0]!).map((p, k) => (p + softmax(rows[1]!)[k]!) / 2);
    softmax(Array.from(sum.subarray(at, at + 5))).forEach((p, k) => expect(p).toBeCloseTo(expected[k]!, 6));
    expected.forEach((p, k) => expect(Math.exp(sum[at + k]!)).toBeCloseTo(p, 6)); // logarithms of probabilities, whose cross-entropy is the answer's
    rows[0]!.forEach((v, k) => expect(mean[at + k]).toBeCloseTo((v + rows[1]![k]!) / 2, 6));
  }
});

test("the two can disagree: what both find likely wins the mean of logits, what one is sure of wins the sum", () => {
  const cls = Float32Array.of(0, 1, -9),
    dist = Float32Array.of(4, 0, 5);
  expect(argmax(combineHeads("mean", cls, dist, 3))).toBe(0);
  expect(argmax(combineHeads("softmax-sum", cls, dist, 3))).toBe(1);
});

test("large logits stay finite and in order", () => {
  const sum = combineHeads("softmax-sum", Float32Array.of(1000, 0, -1000), Float32Array.of(1000, 10, -2000), 3);
  expect([...sum].every(Number.isFinite)).toBe(true);
  expect(sum[0]).toBeGreaterThan(sum[1]!);
  expect(sum[1]).toBeGreaterThan(sum[2]!);
});

test("either head alone; a plain model has one", () => {
  const cls = Float32Array.of(1, 2),
    dist = Float32Array.of(4, 3);
  expect(combineHeads("cls", cls, dist, 2)).toBe(cls);
  expect(combineHeads("dist", cls, dist, 2)).toBe(dist);
  expect(headChoices.filter((choice) => choice === "cls" || choice === "mean").map((choice) => combineHeads(choice, cls, null, 2))).toEqual(
    [cls, cls],
  );
  for (const choice of ["softmax-sum", "dist"] as const)
    expect(() => combineHeads(choice, cls, null, 2)).toThrow(
      `head: expected a distilled model for "${choice}", got one with a single head`,
    );
});

/** Top-1, top-5 and cross-entropy from logits. */
import { expect, test } from "vitest";
import { score } from "../../train/evaluate.ts";

/** Logits of 8 classes that fall from class 0 on. */
const FALLING = [8, 7, 6, 5, 4, 3, 2, 1];

test("a class counts by how many logits are above its own: the first, the fifth and the sixth", () => {
  const of = (label: number) => score(Float32Array.from(FALLING), [label], 8);
  expect([0, 1, 4, 5, 7].map((label) => [of(label).top1, of(label).top5])).toEqual([
    [1, 1],
    [0, 1],
    [0, 1],
    [0, 0],
    [0, 0],
  ]);
});

test("of equal logits the lower class comes first", () => {
  const same = new Float32Array(8);
  expect([0, 1, 4, 5].map((label) => [score(same, [label], 8).top1, score(same, [label], 8).top5])).toEqual([
    [1, 1],
    [0, 1],
    [0, 1],
    [0, 0],
  ]);
});

test("shares and the mean loss over images, large logits too", () => {
  const { top1, top5, loss } = score(Float32Array.of(...FALLING, ...FALLING.map((v) => v + 5000)), [0, 5], 8);
  const sum = Math.log(FALLING.reduce((s, v) => s + Math.exp(v), 0));
  expect([top1, top5]).toEqual([0.5, 0.5]);
  expect(loss).toBeCloseTo((sum - 8 + sum - 3) / 2, 9);
});

test("three classes have no fifth: every label is among them; a logit that is no number is refused", () => {
  expect(score(Float32Array.of(1, 2, 3), [0], 3)).toMatchObject({ top1: 0, top5: 1 });
  expect(() => score(Float32Array.of(1, 2, NaN, 0, 1, 2), [0, 1], 3)).toThrow("evaluate: expected finite logits, got NaN for image 0");
});

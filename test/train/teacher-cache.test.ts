/** A cached teacher's logits for a batch: each image's own, or both partners' probabilities in the shares of the labels. */
import { expect, test } from "vitest";
import { cachedLogits } from "../../train/teacher-cache.ts";

const K = 3;
const teacherLogits = Float32Array.of(1, 2, 3, /**/ 0, 0, 5, /**/ -1, 4, 0, /**/ 2, 2, 2, /**/ 7, -3, 1);
const row = (i: number) => [...teacherLogits.subarray(K * i, K * i + K)];
const softmax = (z: readonly number[]) => {
  const e = z.map(Math.exp),
    sum = e.reduce((a, b) => a + b, 0);
  return e.map((v) => v / sum);
};

test("unmixed: the logits themselves, by image", () => {
  expect([...cachedLogits(teacherLogits, Uint32Array.of(4, 0, 2), null, K)]).toEqual([...row(4), ...row(0), ...row(2)]);
});

test.each([
  [4, [3, 2, 1, 0]],
  [2, [1, 0, 3, 2]],
])("mixed among %i: whose softmax is that of both, in the shares", (groupSize, partners) => {
  const images = Uint32Array.of(4, 0, 2, 1);
  const own = [0.25, 1, 0, 0.7];
  const got = cachedLogits(teacherLogits, images, { own, groupSize }, K);
  own.forEach((share, b) => {
    const [mine, other] = [softmax(row(images[b]!)), softmax(row(images[partners[b]!]!))];
    softmax([...got.subarray(K * b, K * b + K)]).forEach((p, k) => expect(p).toBeCloseTo(share * mine[k]! + (1 - share) * other[k]!, 6));
  });
});

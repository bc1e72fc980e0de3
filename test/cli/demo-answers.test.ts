/** How the demo compares its two students. */
import { expect, test } from "vitest";
import { compare, mcnemar, type Answers } from "../../jobs/demo/answers.ts";

test("McNemar's exact p, as exact fractions give it", () => {
  expect(mcnemar(0, 0)).toBe(1);
  expect(mcnemar(5, 5)).toBe(1);
  expect(mcnemar(3, 0)).toBeCloseTo(0.25, 12);
  expect(mcnemar(10, 2)).toBeCloseTo(0.03857421875, 12);
  expect(mcnemar(189, 251)).toBeCloseTo(0.0035889739331703653, 10);
  expect(mcnemar(1500, 1200) / 8.412086328628738e-9).toBeCloseTo(1, 6);
});

test("images are counted by who is right, with the teacher's answers", () => {
  const answers = (...best: number[]): Answers => ({ logits: new Float32Array(0), best: Uint8Array.from(best) });
  const labels = Uint8Array.from([0, 0, 0, 1, 1, 1]);
  const { groups, p } = compare(labels, answers(0, 0, 1, 1, 0, 1), answers(0, 0, 1, 1, 0, 0), answers(0, 1, 0, 1, 1, 0));
  expect(groups).toEqual({
    both: { images: 2, teacherRight: 2, asTeacher: 2 },
    distilled: { images: 1, teacherRight: 1, asTeacher: 1 },
    plain: { images: 2, teacherRight: 0, asTeacher: 2 },
    neither: { images: 1, teacherRight: 1, asTeacher: 0 },
  });
  expect(p).toBe(1);
});

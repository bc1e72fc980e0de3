/** The small curve that a terminal shows beside a training's loss. */
import { expect, test } from "vitest";
import { sparkline } from "../../cli/node/progress.ts";

test("a curve runs from the least to the most of its values, a character for as many neighbours", () => {
  expect(sparkline([1, 2, 3, 4, 5, 6, 7, 8])).toBe("▁▂▃▄▅▆▇█");
  expect(sparkline([8, 8, 1, 1], 2)).toBe("█▁");
  expect(sparkline([5])).toBe("▁");
  expect(
    sparkline(
      Array.from({ length: 1000 }, (_, i) => -i),
      4,
    ),
  ).toBe("█▆▃▁");
  expect(sparkline([2, NaN, 1])).toBe("█ ▁");
});

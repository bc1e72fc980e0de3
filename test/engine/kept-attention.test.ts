/** Attention's probabilities are kept for the backward as far as all layers' together leave room. */
import { expect, test } from "vitest";
import { variantOf } from "../../kernels/attention/kept.ts";

const base = { H: 12, N: 198, M: 198 };

test("the bound is on all layers together, and f16 counts half", () => {
  // 12 layers of DeiT-B keep 22.8 MB an image in f32.
  expect(variantOf(12, { ...base, B: 64 }, "f32")).toBeUndefined();
  expect(variantOf(12, { ...base, B: 128 }, "f32")).toBe("register");
  expect(variantOf(6, { ...base, B: 128 }, "f32")).toBeUndefined();
  expect(variantOf(12, { ...base, B: 128 }, "f16")).toBeUndefined();
  expect(variantOf(12, { ...base, B: 256 }, "f16")).toBe("register");
});

/** test/kernel-fuzz.test.ts for all kernels and larger shapes, from another seed each day. */
import { expect, test } from "vitest";
import { attentionQuestions, fuzzKernels, gemmQuestions } from "../kernel-fuzz.ts";

const today = Math.floor(Date.now() / 86_400_000);

test("every GEMM kernel on 40 random shapes", { timeout: 1_200_000 }, async () => {
  expect(await fuzzKernels(gemmQuestions(577), 40, today)).toBeGreaterThan(40);
});
test("every attention kernel on 15 random shapes", { timeout: 1_200_000 }, async () => {
  expect(await fuzzKernels(attentionQuestions(198), 15, today)).toBeGreaterThan(15);
});

/** checks/cases/kernel-fuzz.ts for all kernels and larger shapes, from another seed each day. Memory was NaN before, and has canaries behind it. */
import { expect, test } from "vitest";
import { ATTENTION_VARIANTS } from "../../kernels/attention.ts";
import { TILES } from "../../kernels/gemm/tiles.ts";
import { problemOf } from "../../bench/tune/questions.ts";
import { attentionQuestion, fuzzKernels, gemmQuestion } from "../../checks/fuzz.ts";

const today = Math.floor(Date.now() / 86_400_000);

test("every GEMM kernel on 40 random shapes", { timeout: 1_200_000 }, async () => {
  expect(await fuzzKernels((draws) => gemmQuestion(draws, 577), problemOf, 40, today)).toBe(40 * (Object.keys(TILES).length + 1)); // and the default
});
test("every attention kernel on 15 random shapes", { timeout: 1_200_000 }, async () => {
  expect(await fuzzKernels((draws) => attentionQuestion(draws, 198), problemOf, 15, today)).toBe(15 * (ATTENTION_VARIANTS.length + 1));
});

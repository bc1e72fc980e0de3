import { expect, test } from "vitest";
import { attentionQuestions, fuzzKernels, gemmQuestions } from "./kernel-fuzz.ts";

// `shared` tiles compile slowly on processors: few of them here, all of them in test/slow.
test("GEMM's kernels on random shapes, poisoned memory", async () => {
  expect(await fuzzKernels(gemmQuestions(198), 2, 1, (name) => name.startsWith("register") || name === "shared-32x32")).toBe(16);
});

test("attention's kernels on random shapes, poisoned memory", async () => {
  expect(await fuzzKernels(attentionQuestions(40), 2, 2, (name) => ["register", "register-64", "batched"].includes(name))).toBe(6);
});

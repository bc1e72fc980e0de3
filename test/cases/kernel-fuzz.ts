/** A short part of test/slow/kernels.slow.test.ts. `shared` tiles compile slowly on processors: few of them here. */
import { attentionQuestions, fuzzKernels, gemmQuestions } from "../kernel-fuzz.ts";
import type { Case } from "../../checks/check.ts";

async function runs(wanted: number, ran: Promise<number>): Promise<void> {
  const count = await ran;
  if (count !== wanted) throw new Error(`expected ${wanted} kernels to run, got ${count}`);
}

export const cases: Case[] = [
  {
    name: "fuzz: GEMM's kernels on random shapes, poisoned memory",
    run: () =>
      runs(
        16,
        fuzzKernels(gemmQuestions(198), 2, 1, (name) => name.startsWith("register") || name === "shared-32x32"),
      ),
  },
  {
    name: "fuzz: attention's kernels on random shapes, poisoned memory",
    run: () =>
      runs(
        6,
        fuzzKernels(attentionQuestions(40), 2, 2, (name) => ["register", "register-64", "batched"].includes(name)),
      ),
  },
];

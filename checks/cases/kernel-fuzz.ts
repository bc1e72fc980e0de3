/**
 * Products and attention on a few random shapes; test/slow/kernels.slow.test.ts takes more. `shared` tiles compile slowly on processors.
 */
import type { Case } from "../check.ts";
import { attentionQuestion, fuzzKernels, gemmQuestion } from "../fuzz.ts";
import { gemmProblem } from "../gemm-problem.ts";
import { opProblem } from "../op-problem.ts";
import type { Problem } from "../problem.ts";
import { ops } from "./attention.ts";

async function runs(wanted: number, ran: Promise<number>): Promise<void> {
  const count = await ran;
  if (count !== wanted) throw new Error(`expected ${wanted} kernels to run, got ${count}`);
}

const attentionProblem = (question: string): Problem | null => ops.map((op) => opProblem(op, question)).find((p) => p !== null) ?? null;

export const cases: Case[] = [
  {
    name: "fuzz: GEMM's kernels on random shapes, poisoned memory",
    run: () =>
      runs(
        16,
        fuzzKernels(
          (draws) => gemmQuestion(draws, 198),
          gemmProblem,
          2,
          1,
          (name) => name.startsWith("register") || name === "shared-32x32",
        ),
      ),
  },
  {
    name: "fuzz: attention's kernels on random shapes, poisoned memory",
    run: () =>
      runs(
        6,
        fuzzKernels(
          (draws) => attentionQuestion(draws, 40),
          attentionProblem,
          2,
          2,
          (name) => ["register", "register-64", "batched"].includes(name),
        ),
      ),
  },
];

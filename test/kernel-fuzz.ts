/** Every kernel of GEMM and attention on random shapes, into memory that held NaN before and shows writes past its ends, against f64. */
import fc from "fast-check";
import { lacking } from "../bench/tune/problem.ts";
import { problemOf } from "../bench/tune/questions.ts";
import { getDevice } from "../engine/device.ts";
import { readAll } from "../engine/tensor.ts";
import { guarded } from "../checks/guarded.ts";

// 1, a tile and one more or less, primes, DeiT's token counts.
const sizes = (most: number) =>
  fc.oneof(
    fc.constantFrom(
      ...[1, 2, 3, 7, 8, 9, 13, 15, 16, 17, 31, 32, 33, 37, 63, 64, 65, 127, 128, 129, 197, 198, 577].filter((n) => n <= most),
    ),
    fc.integer({ min: 1, max: Math.min(most, 140) }),
  );
const transposed = fc.constantFrom("N", "T");

export const gemmQuestions = (most: number) =>
  fc
    .tuple(fc.constantFrom(1, 1, 2, 3), sizes(most), sizes(most), sizes(most), transposed, transposed)
    .map(([B, M, N, K, ta, tb]) => `gemm ${B}x${M}x${N}x${K} ${ta}${tb}`);

export const attentionQuestions = (most: number) =>
  fc
    .tuple(
      fc.boolean(),
      fc.constantFrom(1, 2),
      fc.constantFrom(1, 3),
      sizes(most),
      sizes(most),
      fc.constantFrom(4, 5, 16, 32, 64),
      fc.boolean(),
    )
    .map(
      ([packed, B, H, N, M, D, backward]) =>
        `${packed ? "attentionPacked" : "attention"} ${B}x${H}x${N}x${packed ? N : M}x${D}${backward ? " fwd+bwd" : ""}`,
    );

/** Runs every kernel for each question; throws at the first that is wrong. Returns how many ran. */
export async function fuzzKernels(
  questions: fc.Arbitrary<string>,
  count: number,
  seed: number,
  names: (name: string) => boolean = () => true,
): Promise<number> {
  let ran = 0;
  for (const question of fc.sample(questions, { numRuns: count, seed })) {
    const problem = problemOf(question)!;
    try {
      for (const { name, needs, run } of problem.candidates) {
        if (!names(name) || lacking(getDevice(), needs)) continue;
        const made = run();
        const first = (await readAll(made)) as Float32Array[];
        for (const t of made) t.dispose();
        const again = (await guarded(run)).map((bits) => new Float32Array(bits.buffer));
        const fault =
          problem.fault(again) ??
          (again.every((r, i) => r.every((x, e) => Object.is(x, first[i]![e]))) ? null : "a second run gave other bits");
        if (fault) throw new Error(`${question} by ${name}: ${fault} (seed ${seed})`);
        ran++;
      }
    } finally {
      problem.dispose();
    }
  }
  return ran;
}

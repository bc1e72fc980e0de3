/** Runs every kernel of a problem on random shapes, in guarded memory (guarded.ts), against f64. */
import { getDevice } from "../engine/device.ts";
import { readAll } from "../engine/tensor.ts";
import { uniform } from "./check.ts";
import { guarded } from "./guarded.ts";
import { lacking, type Problem } from "./problem.ts";

/** Draws from a seeded stream. */
export class Draws {
  private at = 0;
  private readonly seed: number;
  constructor(seed: number) {
    this.seed = seed;
  }

  below(n: number): number {
    return Math.floor(((uniform(1, 1000 * this.seed + this.at++)[0]! + 1) / 2) * n);
  }
  of<T>(values: readonly T[]): T {
    return values[this.below(values.length)]!;
  }

  /** 1, a tile and one more or less, primes, DeiT's token counts; or any up to 140. */
  size(max: number): number {
    const known = [1, 2, 3, 7, 8, 9, 13, 15, 16, 17, 31, 32, 33, 37, 63, 64, 65, 127, 128, 129, 197, 198, 577].filter((n) => n <= max);
    return this.below(2) === 0 ? this.of(known) : 1 + this.below(Math.min(max, 140));
  }
}

export function gemmQuestion(draws: Draws, max: number): string {
  const [B, M, N, K] = [draws.of([1, 1, 2, 3]), draws.size(max), draws.size(max), draws.size(max)];
  return `gemm ${B}x${M}x${N}x${K} ${draws.of(["N", "T"])}${draws.of(["N", "T"])}`;
}

export function attentionQuestion(draws: Draws, max: number): string {
  const name = draws.of(["attention", "attentionPacked"]);
  const [B, H, N, M, D] = [draws.of([1, 2]), draws.of([1, 3]), draws.size(max), draws.size(max), draws.of([4, 5, 16, 32, 64])];
  return `${name} ${B}x${H}x${N}x${name === "attention" ? M : Math.max(M, N)}x${D}${draws.of(["", " fwd+bwd"])}`;
}

/** Runs the kernels of each question; throws at the first wrong one. Returns the number of kernels run. */
export async function fuzzKernels(
  question: (draws: Draws) => string,
  problemOf: (question: string) => Problem | null,
  count: number,
  seed: number,
  names: (name: string) => boolean = () => true,
): Promise<number> {
  const draws = new Draws(seed);
  let ran = 0;
  for (let i = 0; i < count; i++) {
    const asked = question(draws);
    const problem = problemOf(asked);
    if (!problem) throw new Error(`fuzz: expected a question that can be posed, got "${asked}"`);
    try {
      for (const { name, needs, run } of problem.candidates) {
        if (!names(name) || lacking(getDevice(), needs)) continue;
        const made = run();
        const first = (await readAll(made)) as Float32Array[];
        for (const t of made) t.dispose();
        const again = (await guarded(run)).map((bits) => new Float32Array(bits.buffer));
        const fault =
          problem.fault(again) ??
          (again.every((r, k) => r.every((x, e) => Object.is(x, first[k]![e]))) ? null : "a second run gave other bits");
        if (fault) throw new Error(`${asked} by ${name}: ${fault} (seed ${seed})`);
        ran++;
      }
    } finally {
      problem.dispose();
    }
  }
  return ran;
}

/** Products by the names that tuning tables give them. */
export interface Product {
  /** Matrices in the batch. */
  readonly B: number;
  readonly M: number;
  readonly N: number;
  readonly K: number;
  /** Whether the operands are stored transposed. */
  readonly ta: boolean;
  readonly tb: boolean;
}

/** Those of ordinary kernels, and those on tensor cores. */
type Kind = "gemm" | "gemm.matrix";

/** "gemm BxMxNxK xx"; xx says how each operand is stored, N or T for transposed. */
export const questionOf = (kind: Kind, { B, M, N, K, ta, tb }: Product): string =>
  `${kind} ${B}x${M}x${N}x${K} ${ta ? "T" : "N"}${tb ? "T" : "N"}`;

/** The product that is asked about; null for another kind's question, and for other operations'. */
export function productOf(kind: Kind, question: string): Product | null {
  const [, of, B, M, N, K, a, b] = /^(\S+) (\d+)x(\d+)x(\d+)x(\d+) ([NT])([NT])$/.exec(question) ?? [];
  return of === kind ? { B: Number(B), M: Number(M), N: Number(N), K: Number(K), ta: a === "T", tb: b === "T" } : null;
}

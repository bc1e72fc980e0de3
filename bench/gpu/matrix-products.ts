/** Products of f16 to check and time: operands, and whether a result is theirs. */
import { Tensor } from "../../engine/tensor.ts";
import { halfBits } from "../../kernels/gemm/matrix.ts";

type Order = "NN" | "NT" | "TN";
export interface Sizes {
  readonly M: number;
  readonly N: number;
  readonly K: number;
  readonly order: Order;
}

export const nameOf = ({ M, N, K, order }: Sizes): string => `${M}x${N}x${K} ${order}`;

/** Multiples of 1/512 in [-1, 1): exact in f16, and quick to make by the million. */
function halves(n: number, seed: number): { values: Float32Array; bits: Uint16Array } {
  const table = Float32Array.from({ length: 1024 }, (_, i) => (i - 512) / 512),
    tableBits = halfBits(table);
  const values = new Float32Array(n),
    bits = new Uint16Array(n);
  let s = Math.imul(seed, 0x9e3779b9);
  for (let i = 0; i < n; i++) {
    s = (Math.imul(s, 1664525) + 1013904223) | 0;
    values[i] = table[s >>> 22]!;
    bits[i] = tableBits[s >>> 22]!;
  }
  return { values, bits };
}

export interface Operands {
  readonly a: Tensor;
  readonly b: Tensor;
  readonly A: Float32Array;
  readonly B: Float32Array;
  /** Signs, and what C times them is. */
  x?: Float32Array;
  expected?: Float64Array;
}

export function operands({ M, N, K, order }: Sizes, input: "f16" | "f32"): Operands {
  const A = halves(M * K, 1),
    B = halves(K * N, 2);
  const upload = (h: typeof A, shape: [number, number]) =>
    input === "f16" ? Tensor.from(h.bits, shape, "f16") : Tensor.from(h.values, shape);
  return { a: upload(A, order[0] === "T" ? [K, M] : [M, K]), b: upload(B, order[1] === "T" ? [N, K] : [K, N]), A: A.values, B: B.values };
}

const float = (h: number): number => {
  const e = (h >> 10) & 31,
    m = h & 1023;
  return (h & 0x8000 ? -1 : 1) * (e === 0 ? m * 2 ** -24 : e === 31 ? (m ? NaN : Infinity) : (1024 + m) * 2 ** (e - 25));
};

/**
 * R. Freivalds 1977: C x = A (B x) for a random x of signs, in f64. Tensor cores cut off the ends of their sums instead of rounding
 * them, so that errors add up along K; one element that is missing still shows.
 */
export function fault(C: Float32Array | Uint16Array, operands: Operands, { M, N, K, order }: Sizes): string | null {
  const narrow = C instanceof Uint16Array;
  const x = (operands.x ??= halves(N, 3).values.map((v) => (v < 0 ? -1 : 1)));
  const expected = (operands.expected ??= sumsOf(operands, x, { M, N, K, order }));
  const size = Math.sqrt(K) / 3; // of an element of C
  const most = Math.sqrt(N) * size * (narrow ? 2 ** -9 : 2 ** -24 * (8 + K / 2));
  let squares = 0;
  for (let m = 0; m < M; m++) {
    let got = 0;
    for (let n = 0; n < N; n++) {
      const v = narrow ? float(C[m * N + n]!) : C[m * N + n]!;
      got += v * x[n]!;
      squares += v * v;
    }
    if (!(Math.abs(got - expected[m]!) <= most))
      return `row ${m}: expected it to sum to ${expected[m]!.toPrecision(6)} within ${most.toPrecision(2)}, got ${got.toPrecision(6)}`;
  }
  const rms = Math.sqrt(squares / (M * N));
  return rms > size / 2 && rms < 2 * size ? null : `expected elements of about ${size.toPrecision(3)}, got ${rms.toPrecision(3)}`;
}

function sumsOf({ A, B }: Operands, x: Float32Array, { M, N, K, order }: Sizes): Float64Array {
  const bx = new Float64Array(K),
    sums = new Float64Array(M);
  if (order[1] === "T") for (let n = 0; n < N; n++) for (let k = 0; k < K; k++) bx[k]! += B[n * K + k]! * x[n]!;
  else for (let k = 0; k < K; k++) for (let n = 0; n < N; n++) bx[k]! += B[k * N + n]! * x[n]!;
  if (order[0] === "T") for (let k = 0; k < K; k++) for (let m = 0; m < M; m++) sums[m]! += A[k * M + m]! * bx[k]!;
  else for (let m = 0; m < M; m++) for (let k = 0; k < K; k++) sums[m]! += A[m * K + k]! * bx[k]!;
  return sums;
}

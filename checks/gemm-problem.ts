/**
 * Questions "gemm BxMxNxK xx", xx saying how each operand is stored (N, or T for transposed), as kernels/gemm/gemm.ts asks them.
 *
 * The whole product is checked at the price of three products with a vector: C x = A (B x) for a random x of signs
 * (R. Freivalds 1977, "Probabilistic machines can use less running time"), in f64. One wrong element shows in its row.
 */
import { SUBGROUP_MATRIX } from "../engine/wgsl.ts";
import type { Gemm } from "../kernels/gemm/describe.ts";
import { MATRIX_TILES } from "../kernels/gemm/matrix-choose.ts";
import { halfBits } from "../kernels/gemm/matrix.ts";
import { productOf, type Product } from "../kernels/gemm/question.ts";
import { TILES } from "../kernels/gemm/tiles.ts";
import { tuningInUse, useTuning } from "../kernels/shared/tuning.ts";
import type { Tile } from "../kernels/gemm/config.ts";
import { sharedBytes } from "../kernels/gemm/shared.ts";
import { Tensor } from "../engine/tensor.ts";
import { gemm } from "../kernels/gemm/gemm.ts";
import { uniform } from "./check.ts";
import { DEFAULT, type Candidate, type Problem } from "./problem.ts";

// f32 against f64: far above rounding's sqrt(K) 2^-24 per element, far below one element that is missing.
const TOLERANCE = 3e-6;

/** `tiles`: by name; those that `--variant` takes unless given. */
export function gemmProblem(question: string, tiles: Readonly<Record<string, Tile>> = TILES): Problem | null {
  const product = productOf("gemm", question);
  if (!product) return null;
  const { B, M, N, K, ta, tb } = product;
  const aValues = uniform(B * M * K, 1),
    bValues = uniform(B * K * N, 2);
  const a = Tensor.from(aValues, ta ? [B, K, M] : [B, M, K]),
    b = Tensor.from(bValues, tb ? [B, N, K] : [B, K, N]);
  const batch = B > 1 ? [B] : [];
  const run = (variant?: Tile) => () => [
    gemm({ a: { tensor: a, transposed: ta }, b: { tensor: b, transposed: tb }, M, N, K, batch, shape: [B, M, N], variant }).y,
  ];
  const candidates = Object.entries(tiles).map(
    ([name, t]): Candidate => ({
      name,
      run: run(t),
      needs: {
        features: t.kind === "subgroup" ? ["subgroups"] : [],
        invocations: t.x * t.y,
        workgroupBytes: t.kind === "shared" ? sharedBytes(t) : 0,
      },
    }),
  );
  return {
    question,
    flops: 2 * B * M * N * K,
    candidates: [{ name: DEFAULT, needs: {}, run: run() }, ...candidates],
    fault: ([c]) => rowsDiffer(c!, aValues, bValues, product),
    dispose() {
      a.dispose();
      b.dispose();
    },
  };
}

/**
 * Questions "gemm.matrix BxMxNxK xx": products of f16 on tensor cores, which have to be in use (`useSubgroupMatrix`). Candidates run as a
 * tuning table that names them would have it.
 */
export function matrixProblem(question: string): Problem | null {
  const asked = productOf("gemm.matrix", question);
  if (!asked) return null;
  const { B, M, N, K, ta, tb } = asked;
  // Multiples of 1/512 below 1 are exact in f16.
  const values = (n: number, seed: number) => uniform(n, seed).map((v) => Math.round(512 * v) / 512);
  const [aValues, bValues] = [values(B * M * K, 1), values(B * K * N, 2)];
  const [a, b] = [aValues, bValues].map((v) => Tensor.from(halfBits(v), [v.length], "f16")) as [Tensor, Tensor];
  const product: Gemm = {
    a: { tensor: a, transposed: ta },
    b: { tensor: b, transposed: tb },
    ...{ M, N, K, batch: B > 1 ? [B] : [], shape: [B, M, N], store: "f32" },
  };
  const by = (name: string) => (): readonly Tensor[] => {
    const before = tuningInUse();
    useTuning({ source: "a candidate", choices: { [question]: name } });
    try {
      return [gemm(product).y];
    } finally {
      useTuning(before);
    }
  };
  return {
    question,
    flops: 2 * B * M * N * K,
    candidates: [DEFAULT, ...Object.keys(MATRIX_TILES)].map((name) => ({ name, needs: { features: [SUBGROUP_MATRIX] }, run: by(name) })),
    fault: ([c]) => rowsDiffer(c!, aValues, bValues, asked),
    dispose() {
      a.dispose();
      b.dispose();
    },
  };
}

function rowsDiffer(c: Float32Array, a: Float64Array, b: Float64Array, { B, M, N, K, ta, tb }: Product): string | null {
  if (c.length !== B * M * N) return `expected ${B * M * N} values, got ${c.length}`;
  const x = uniform(N, 3).map((v) => (v < 0 ? -1 : 1));
  const most = TOLERANCE * Math.sqrt(K * N) * Math.sqrt(K);
  for (let i = 0; i < B; i++) {
    const bx = new Float64Array(K);
    for (let k = 0; k < K; k++) for (let n = 0; n < N; n++) bx[k]! += b[i * K * N + (tb ? n * K + k : k * N + n)]! * x[n]!;
    for (let m = 0; m < M; m++) {
      let expected = 0,
        got = 0;
      for (let k = 0; k < K; k++) expected += a[i * M * K + (ta ? k * M + m : m * K + k)]! * bx[k]!;
      for (let n = 0; n < N; n++) got += c[(i * M + m) * N + n]! * x[n]!;
      if (!(Math.abs(got - expected) <= most))
        return `row ${m} of matrix ${i}: expected it to sum to ${expected.toPrecision(6)}, got ${got.toPrecision(6)}`;
    }
  }
  return null;
}

/**
 * Batched matrix products C = alpha op(A) op(B), then the caller's operations on each element of C. Not an op itself.
 *
 * Operands are read in place, transposed or not, at any distance between rows and between batches (0 repeats one), or
 * by a map of their rows and columns, so that nothing is copied first.
 * Three kinds of kernel: `shared` stages tiles of A and B in workgroup memory, fastest on GPUs; `subgroup` has its lanes pass
 * A around, fastest on CPU adapters; `register` keeps a tile of C per thread and shares nothing, for CPU adapters
 * without subgroups.
 *
 * The tiles follow the plan of V. Volkov and J. Demmel 2008, "Benchmarking GPUs to tune dense linear algebra",
 * https://doi.org/10.1109/SC.2008.5214359
 */
import type { Tensor } from "../../engine/tensor.ts";
import { choose, type Choice } from "./choose.ts";
import { describe, type Described, type Gemm } from "./describe.ts";
import { isPlain } from "./config.ts";
import { reduceKernel } from "./kernels.ts";
import { sumsMayJoin } from "../shared/join-launches.ts";

export interface Product {
  readonly y: Tensor;
  /** With `preActivation`. */
  readonly preActivation: Tensor | null;
  readonly sums: Tensor | null;
  readonly dots: Tensor | null;
}

let made: [Gemm, Choice][] | null = null;

/** The product. Does not check shapes: callers do. */
export function gemm(g: Gemm): Product {
  const d = describe(g),
    choice = choose(g, d);
  if (g.a.samples && !choice.samples) return gemm({ ...g, a: { ...g.a, tensor: g.a.samples.scaled(), samples: undefined } });
  made?.push([g, choice]);
  return run(g, d, choice);
}

/** The products that `body` makes, in order, each with what was chosen for it: for audits. */
export function productsOf(body: () => void): readonly (readonly [Gemm, Choice])[] {
  const found: [Gemm, Choice][] = [];
  made = found;
  try {
    body();
  } finally {
    made = null;
  }
  return found;
}

function run(g: Gemm, d: Described, { kernel, tiles, splits, chunk, sumGroups }: Choice): Product {
  const { a, b, M, N, K, alpha = 1, factors, into } = g;
  const dtype = g.store ?? a.tensor.dtype;
  const outputs = {
    y: { shape: g.shape, dtype },
    pre_activation: g.preActivation ? { shape: g.shape, dtype } : null,
    sums: g.sums ? [M] : null,
    dots: g.dots ? [M] : null,
  };
  const product = tiles[0] * tiles[1] * d.matrices * splits;
  const finish = { alpha, factors_at: factors?.at ?? 0, factor_rows: factors?.rows ?? 0, c_offset: into?.at ?? 0 };
  const samples = { samples_at: a.samples?.factors.at ?? 0, sample_rows: a.samples?.rows ?? 0 };
  const params = {
    ...{ M, N, K, tiles_m: tiles[0], tiles_n: tiles[1], chunk, slab: d.matrices * M * N, product },
    ...places(d),
    ...samples,
    ...finish,
  };
  const operands = { a: a.tensor, b: b.tensor, dots_with: g.dots, samples: a.samples?.factors.tensor };
  const groups = product + sumGroups;
  if (splits === 1) {
    const made = kernel({ inputs: { ...operands, ...d.read }, updates: into ? { y: into.tensor } : {}, outputs, params, groups });
    return { y: into?.tensor ?? made.y, preActivation: made.pre_activation, sums: made.sums, dots: made.dots };
  }
  const shares = kernel({
    inputs: { ...operands, scale: d.scaledK ? a.scale : null },
    updates: {},
    outputs: { y: [splits, d.matrices, M, N], pre_activation: null, sums: g.sums ? [splits, M] : null, dots: g.dots ? [splits, M] : null },
    params: { ...params, alpha: 1 },
    groups,
    together: ["y", "sums"],
  });
  const count = d.matrices * M * N;
  const made = reduceKernel(d.slots)({
    inputs: { parts: shares.y, ...d.read, scale: d.slots.scale ? d.read["scale"] : null, sum_parts: shares.sums, dot_parts: shares.dots },
    outputs,
    params: { count, splits, M, N, ...finish },
    threads: Math.max(count, M),
  });
  const sums = [{ parts: shares.y.view([splits, count]), y: made.y }, ...(made.sums ? [{ parts: shares.sums!, y: made.sums }] : [])];
  if (isPlain(d.slots) && alpha === 1 && dtype === "f32") sumsMayJoin(sums.map((sum) => ({ ...sum, shared: false })));
  return { y: made.y, preActivation: made.pre_activation, sums: made.sums, dots: made.dots };
}

/** The kernel's params of where the operands' and the result's matrices lie. */
const places = ({ rows, ld, offset, batch, steps }: Described): Readonly<Record<string, number>> => ({
  a_rows: rows.a,
  b_rows: rows.b,
  lda: ld.a,
  ldb: ld.b,
  ldc: ld.c,
  a_offset: offset.a,
  b_offset: offset.b,
  ...Object.assign(
    {},
    ...batch.map((size, r) => ({
      [`size${r}`]: size,
      [`a_step${r}`]: steps.a[r]!,
      [`b_step${r}`]: steps.b[r]!,
      [`c_step${r}`]: steps.c[r]!,
    })),
  ),
});

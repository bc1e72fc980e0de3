/**
 * Matrix products with broadcast batch axes.
 *
 *   y = A B,   A = a or its transpose, B = b or its transpose
 *
 * Backward: dA = dy B^T and dB = A^T dy, transposed where the input was, summed over the batch axes that were repeated.
 */
import { defineOp } from "../engine/autograd.ts";
import { numel, sameShape, show, type Shape } from "../engine/shape.ts";
import { broadcastShapes, broadcastStrides } from "./shared/axes.ts";
import type { Tensor } from "../engine/tensor.ts";
import { gemm } from "./gemm/gemm.ts";
import type { GemmVariant } from "./gemm/tiles.ts";
import { sumTo } from "./shared/reduce.ts";

export interface MatmulOptions {
  /** a is stored as [.., K, M]. */
  readonly transposeA?: boolean;
  /** b is stored as [.., N, K]. */
  readonly transposeB?: boolean;
  /** Kind of kernel. Default: chosen for the adapter. */
  readonly variant?: GemmVariant | undefined;
}

interface Attrs {
  readonly ta: boolean;
  readonly tb: boolean;
  readonly variant: GemmVariant | undefined;
}

const op = defineOp({
  name: "matmul",

  forward([a, b]: [Tensor, Tensor], { ta, tb, variant }: Attrs) {
    const rows = (t: Tensor) => t.shape.at(-2)!,
      cols = (t: Tensor) => t.shape.at(-1)!;
    const fits = a.shape.length >= 2 && b.shape.length >= 2 && (ta ? rows(a) : cols(a)) === (tb ? cols(b) : rows(b));
    if (!fits)
      throw new Error(
        `matmul: expected a ${ta ? "[..,K,M]" : "[..,M,K]"} and b ${tb ? "[..,N,K]" : "[..,K,N]"}, got ${show(a.shape)} and ${show(b.shape)}`,
      );
    const lead = broadcastShapes("matmul", a.shape.slice(0, -2), b.shape.slice(0, -2));
    const shape = [...lead, ta ? cols(a) : rows(a), tb ? rows(b) : cols(b)];
    const K = ta ? rows(a) : cols(a);
    // b is shared by the batch: the batch axes become rows.
    const folded = !ta && numel(b.shape.slice(0, -2)) === 1;
    const M = folded ? numel(lead) * rows(a) : shape.at(-2)!;
    const batch = folded ? { sizes: [], a: [], b: [], y: [] } : batchOf(lead, a.shape, b.shape, shape);
    const sizes = { M, N: shape.at(-1)!, K, batch };
    const { y } = gemm({
      a: { tensor: a, transposed: ta, batch: batch.a },
      b: { tensor: b, transposed: tb, batch: batch.b },
      M,
      N: sizes.N,
      K,
      batch: batch.sizes,
      shape,
      variant,
    });
    return { y, saved: sizes };
  },

  backward(dy, { M, N, K, batch }, [a, b], { ta, tb, variant }, needs) {
    const A = { tensor: a, batch: batch.a },
      B = { tensor: b, batch: batch.b },
      dY = { tensor: dy, batch: batch.y };
    const store = (t: Tensor) => (sameShape(full(t), t.shape) ? t.dtype : "f32");
    const full = (t: Tensor): Shape => (batch.sizes.length > 0 ? [...dy.shape.slice(0, -2), ...t.shape.slice(-2)] : t.shape);
    const shared = { batch: batch.sizes, variant };
    const da = () =>
      sumTo(
        gemm(
          ta
            ? { a: { ...B, transposed: tb }, b: { ...dY, transposed: true }, M: K, N: M, K: N, shape: full(a), store: store(a), ...shared }
            : { a: dY, b: { ...B, transposed: !tb }, M, N: K, K: N, shape: full(a), store: store(a), ...shared },
        ).y,
        a.shape,
      );
    const db = () =>
      sumTo(
        gemm(
          tb
            ? { a: { ...dY, transposed: true }, b: { ...A, transposed: ta }, M: N, N: K, K: M, shape: full(b), store: store(b), ...shared }
            : { a: { ...A, transposed: !ta }, b: dY, M: K, N, K: M, shape: full(b), store: store(b), ...shared },
        ).y,
        b.shape,
      );
    return [needs[0] ? da() : null, needs[1] ? db() : null];
  },
});

/** Batch axes and each tensor's step along them; neighbouring axes are merged where both operands step alike. */
function batchOf(lead: Shape, a: Shape, b: Shape, y: Shape) {
  const steps = (shape: Shape) => broadcastStrides(shape.slice(0, -2), lead).map((s) => s * numel(shape.slice(-2)));
  const [sa, sb, sy] = [steps(a), steps(b), steps(y)];
  const out = { sizes: [] as number[], a: [] as number[], b: [] as number[], y: [] as number[] };
  lead.forEach((size, i) => {
    if (size === 1) return;
    const k = out.sizes.length - 1;
    const merges = k >= 0 && out.a[k] === sa[i]! * size && out.b[k] === sb[i]! * size;
    if (merges) out.sizes[k]! *= size;
    else out.sizes.push(size);
    const at = out.sizes.length - 1;
    out.a[at] = sa[i]!;
    out.b[at] = sb[i]!;
    out.y[at] = sy[i]!;
  });
  return out;
}

/** a: [.., M, K], b: [.., K, N], as they are after transposing. Returns [.., M, N]; batch axes broadcast as in NumPy. */
export const matmul = (a: Tensor, b: Tensor, { transposeA = false, transposeB = false, variant }: MatmulOptions = {}): Tensor =>
  op([a, b], { ta: transposeA, tb: transposeB, variant });

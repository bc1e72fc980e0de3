/** Questions "attention BxHxNxMxD" and "attentionPacked …", with " fwd+bwd" where gradients are wanted, as kernels/attention.ts asks them. */
import { gradients } from "../../engine/autograd.ts";
import { attention, attentionPacked, ATTENTION_VARIANTS, type AttentionVariant } from "../../kernels/attention.ts";
import { DEFAULT, farOff, upload, values, type Problem } from "./problem.ts";

const TOLERANCE = 1e-4;

export function attentionProblem(question: string): Problem | null {
  const match = /^(attention|attentionPacked) (\d+)x(\d+)x(\d+)x(\d+)x(\d+)( fwd\+bwd)?$/.exec(question);
  if (!match) return null;
  const packed = match[1] === "attentionPacked",
    backward = match[7] !== undefined;
  const [B, H, N, M, D] = match.slice(2, 7).map(Number) as [number, number, number, number, number];
  const inputs = packed
    ? [{ data: values(B * N * 3 * H * D, 1), shape: [B, N, 3 * H * D] }]
    : [N, M, M].map((rows, i) => ({ data: values(B * H * rows * D, i + 1), shape: [B, H, rows, D] }));
  const tensors = inputs.map(({ data, shape }) => upload(data, shape));
  const dyValues = values(B * H * N * D, 9);
  const dy = upload(dyValues, packed ? [B, N, H * D] : [B, H, N, D]);
  for (const t of tensors) t.requiresGrad = backward;
  const run = (variant?: AttentionVariant) => () => {
    const options = variant ? { variant } : {};
    const y = packed ? attentionPacked(tensors[0]!, { heads: H, ...options }) : attention(tensors[0]!, tensors[1]!, tensors[2]!, options);
    return backward ? [y, ...gradients(y, tensors, dy)] : [y];
  };
  const needs = (name: AttentionVariant) =>
    name === "batched" ? { bindingBytes: 4 * B * H * N * M } : { invocations: name === "shared" ? 128 : 64 };
  let expected: readonly Float64Array[] | undefined;
  return {
    question,
    flops: (backward ? 14 : 4) * B * H * N * M * D,
    candidates: [
      { name: DEFAULT, needs: {}, run: run() },
      ...ATTENTION_VARIANTS.map((name) => ({ name, needs: needs(name), run: run(name) })),
    ],
    fault(results) {
      expected ??= attended(
        inputs.map(({ data }) => data),
        dyValues,
        { B, H, N, M, D, packed },
      );
      return (
        results.map((r, i) => farOff(i === 0 ? "y" : `gradient of input ${i - 1}`, r, expected![i]!, TOLERANCE)).find((f) => f !== null) ??
        null
      );
    },
    dispose() {
      for (const t of [...tensors, dy]) t.dispose();
    },
  };
}

interface Sizes {
  readonly B: number;
  readonly H: number;
  readonly N: number;
  readonly M: number;
  readonly D: number;
  readonly packed: boolean;
}

/** y and the gradients, in f64. */
function attended(inputs: readonly Float32Array[], dy: Float32Array, { B, H, N, M, D, packed }: Sizes): Float64Array[] {
  const results = [new Float64Array(dy.length), ...inputs.map((t) => new Float64Array(t.length))];
  const [q, k, v] = packed ? [0, 0, 0] : [0, 1, 2];
  // Where row r of head h of batch b starts: thirds of a packed tensor, or tensors of their own.
  const at = (third: number, rows: number, b: number, h: number, r: number) =>
    packed ? ((b * N + r) * 3 + third) * H * D + h * D : ((b * H + h) * rows + r) * D;
  const out = (b: number, h: number, r: number) => (packed ? (b * N + r) * H * D + h * D : ((b * H + h) * N + r) * D);
  const dot = (x: Float32Array | Float64Array, i: number, y: Float32Array, j: number) => {
    let sum = 0;
    for (let d = 0; d < D; d++) sum += x[i + d]! * y[j + d]!;
    return sum;
  };
  const scale = D ** -0.5,
    P = new Float64Array(M);
  for (let b = 0; b < B; b++)
    for (let h = 0; h < H; h++)
      for (let n = 0; n < N; n++) {
        const qAt = at(0, N, b, h, n),
          yAt = out(b, h, n);
        let sum = 0,
          delta = 0;
        for (let m = 0; m < M; m++) sum += P[m] = Math.exp(scale * dot(inputs[q]!, qAt, inputs[k]!, at(1, M, b, h, m)));
        for (let m = 0; m < M; m++) {
          P[m]! /= sum;
          for (let d = 0; d < D; d++) results[0]![yAt + d]! += P[m]! * inputs[v]![at(2, M, b, h, m) + d]!;
        }
        for (let d = 0; d < D; d++) delta += dy[yAt + d]! * results[0]![yAt + d]!;
        for (let m = 0; m < M; m++) {
          const kAt = at(1, M, b, h, m),
            vAt = at(2, M, b, h, m);
          const dS = scale * P[m]! * (dot(dy, yAt, inputs[v]!, vAt) - delta);
          for (let d = 0; d < D; d++) {
            results[q + 1]![qAt + d]! += dS * inputs[k]![kAt + d]!;
            results[k + 1]![kAt + d]! += dS * inputs[q]![qAt + d]!;
            results[v + 1]![vAt + d]! += P[m]! * dy[yAt + d]!;
          }
        }
      }
  return results;
}

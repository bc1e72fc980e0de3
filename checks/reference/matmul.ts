/** Matrix products and what is made of them, in plain f64 loops. */
import { numel, type Shape } from "../../engine/shape.ts";
import { broadcastShapes, broadcastStrides, strides } from "../../kernels/shared/axes.ts";
import type { Activation } from "../../kernels/shared/activations.ts";
import { activationReferences } from "./activations.ts";

interface Transposes {
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
}

/** Of operands with these shapes. */
export const matmulReference =
  (a: Shape, b: Shape, { transposeA = false, transposeB = false }: Transposes = {}) =>
  (x: Float64Array, w: Float64Array): Float64Array => {
    const [am, ak] = transposeA ? [a.at(-1)!, a.at(-2)!] : [a.at(-2)!, a.at(-1)!];
    const bn = transposeB ? b.at(-2)! : b.at(-1)!;
    const lead = broadcastShapes("reference", a.slice(0, -2), b.slice(0, -2));
    const [own, sa, sb] = [strides(lead), broadcastStrides(a.slice(0, -2), lead), broadcastStrides(b.slice(0, -2), lead)];
    const y = new Float64Array(numel(lead) * am * bn);
    for (let z = 0; z < numel(lead); z++) {
      const at = (s: readonly number[]) => lead.reduce((sum, size, i) => sum + (Math.floor(z / own[i]!) % size) * s[i]!, 0);
      const xAt = at(sa) * am * ak,
        wAt = at(sb) * ak * bn;
      for (let m = 0; m < am; m++) {
        for (let k = 0; k < ak; k++) {
          const v = x[xAt + (transposeA ? k * am + m : m * ak + k)]!;
          for (let n = 0; n < bn; n++) y[(z * am + m) * bn + n]! += v * w[wAt + (transposeB ? n * ak + k : k * bn + n)]!;
        }
      }
    }
    return y;
  };

interface LinearSizes {
  readonly rows: number;
  readonly I: number;
  readonly O: number;
  readonly activation?: Activation;
}

/** x: (rows, I), weight: (O, I), bias: (O) or left out, residual: (rows, O) or left out. */
export const linearReference =
  ({ rows, I, O, activation = "none" }: LinearSizes) =>
  (x: Float64Array, weight: Float64Array, bias?: Float64Array, residual?: Float64Array): Float64Array => {
    const u = matmulReference([rows, I], [O, I], { transposeB: true })(x, weight).map((v, i) => v + (bias?.[i % O] ?? 0));
    const y = activationReferences[activation](u);
    return y.map((v, i) => v + (residual?.[i] ?? 0));
  };

/** x: (B, C, H, W), weight: (D, C, p, p), bias: (D): a convolution with stride p. */
export const patchEmbedReference =
  (B: number, C: number, H: number, W: number, D: number, p: number) =>
  (x: Float64Array, weight: Float64Array, bias?: Float64Array): Float64Array => {
    const [rows, cols] = [H / p, W / p];
    const y = new Float64Array(B * rows * cols * D);
    y.forEach((_, at) => {
      const d = at % D,
        c0 = Math.floor(at / D) % cols,
        r0 = Math.floor(at / (D * cols)) % rows,
        b = Math.floor(at / (D * cols * rows));
      let s = bias?.[d] ?? 0;
      for (let c = 0; c < C; c++) {
        for (let i = 0; i < p; i++) {
          for (let j = 0; j < p; j++) s += x[((b * C + c) * H + r0 * p + i) * W + c0 * p + j]! * weight[((d * C + c) * p + i) * p + j]!;
        }
      }
      y[at] = s;
    });
    return y;
  };

/** The activations that kernels fuse, in f64. */
import type { Activation } from "../../kernels/shared/activations.ts";
import { geluReference } from "./elementwise.ts";

/** PyTorch's GELU with `approximate="tanh"`. */
const geluTanh = (x: number): number => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

export const activationReferences: Readonly<Record<Activation, (u: Float64Array) => Float64Array>> = {
  none: (u) => u,
  gelu: geluReference,
  relu: (u) => u.map((x) => Math.max(x, 0)),
  silu: (u) => u.map((x) => x / (1 + Math.exp(-x))),
  geluTanh: (u) => u.map(geluTanh),
};

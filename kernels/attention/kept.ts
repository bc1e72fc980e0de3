/** How much of attention's probabilities a model keeps for its backward, all layers together. */
import { adapterName, getDevice } from "../../engine/device.ts";
import type { DType } from "../../engine/tensor.ts";
import { probabilityBytes } from "./batched.ts";
import type { AttentionVariant, Sizes } from "./flash.ts";

// Bytes. WebGPU does not say how much memory a GPU has: 2 GiB of probabilities leave room on one of 8 GB, where the other activations of
// such a batch take some 6 GB.
const MOST_KEPT = 2 ** 31;
// GPUs of data centres have 40 GB and more.
const LARGE = /\b(A100|A800|H100|H200|H800|GH200|B100|B200|GB200|MI[23]\d\d)/i;
const MOST_KEPT_LARGE = 2 ** 34;

/**
 * The variant of attention for a model of this many layers, all of which are trained: one that keeps no probabilities where they would take
 * too much memory, else undefined, the fastest.
 */
export function variantOf(layers: number, sizes: Pick<Sizes, "B" | "H" | "N" | "M">, dtype: DType): AttentionVariant | undefined {
  const { adapter } = getDevice();
  const kept = layers * probabilityBytes(sizes, dtype);
  if (kept <= (LARGE.test(adapterName(adapter)) ? MOST_KEPT_LARGE : MOST_KEPT)) return undefined;
  return adapter.software ? "register" : "shared-64";
}

/**
 * What values a tensor has: the range of the finite ones, and where the first of the others is. Told apart by the exponent bits, for WGSL
 * may assume that NaN and infinity do not occur.
 */
import { defineKernel } from "../../engine/kernel.ts";
import { numel } from "../../engine/shape.ts";
import { indexIn } from "./axes.ts";
import type { DType, Tensor } from "../../engine/tensor.ts";

const WG = 256;
const NONE = 0xffffffff;

// One workgroup: each thread goes through every WG-th element, the first puts their findings together.
const kernel = defineKernel({
  name: "range",
  inputs: { x: "f32" }, // (n)
  outputs: { y: "u32" }, // (6)
  params: { n: "u32" },
  workgroup: WG,
  helpers: /* wgsl */ `
    var<workgroup> low: array<f32, WG>;
    var<workgroup> high: array<f32, WG>;
    var<workgroup> first: array<u32, WG>; // that is not finite
    var<workgroup> broken: array<u32, WG>; // NaN, and infinity
    var<workgroup> below: array<u32, WG>; // -infinity`,
  code: /* wgsl */ `
    var lo = 3.4028234e38;
    var hi = -3.4028234e38;
    var at = ${NONE}u;
    var bad = 0u;
    var minus = 0u;
    for (var i = li; i < p.n; i += WG) {
      let v = f32(x[i]);
      let bits = bitcast<u32>(v);
      if ((bits & 0x7f800000u) != 0x7f800000u) {
        lo = min(lo, v);
        hi = max(hi, v);
        continue;
      }
      at = min(at, i);
      if (bits == 0xff800000u) { minus++; } else { bad++; }
    }
    low[li] = lo;
    high[li] = hi;
    first[li] = at;
    broken[li] = bad;
    below[li] = minus;
    workgroupBarrier();
    if (li != 0u) { return; }
    for (var t = 1u; t < WG; t++) {
      lo = min(lo, low[t]);
      hi = max(hi, high[t]);
      at = min(at, first[t]);
      bad += broken[t];
      minus += below[t];
    }
    y[0] = bitcast<u32>(lo);
    y[1] = bitcast<u32>(hi);
    y[2] = at;
    y[3] = bitcast<u32>(f32(x[min(at, p.n - 1u)]));
    y[4] = bad;
    y[5] = minus;`,
});

export interface Range {
  /** Of the finite elements; `null` where there are none. */
  readonly min: number | null;
  readonly max: number | null;
  /** Numbers of elements that are NaN or infinity, and -infinity. */
  readonly broken: number;
  readonly minusInfinities: number;
  /** The first of either, by its index in each axis; `null` where all are finite. */
  readonly first: { readonly index: readonly number[]; readonly value: number } | null;
}

export const hasRange = (dtype: DType): boolean => dtype === "f32" || dtype === "f16";

/** x: any shape, f32 or f16. Returns u32 (6), for `readRange`. */
export const rangeOf = (x: Tensor): Tensor => kernel({ inputs: { x }, outputs: { y: [6] }, params: { n: x.size }, groups: 1 }).y;

/** What `rangeOf` found, for a tensor of this shape. */
export function readRange(words: ArrayLike<number>, shape: readonly number[]): Range {
  const floats = new Float32Array(Uint32Array.from(words).buffer);
  const [broken, minusInfinities] = [words[4]!, words[5]!];
  const none = broken + minusInfinities === numel(shape);
  return {
    ...{ min: none ? null : floats[0]!, max: none ? null : floats[1]!, broken, minusInfinities },
    first: words[2] === NONE ? null : { index: indexIn(shape, words[2]!), value: floats[3]! },
  };
}

/**
 * The class with the largest logit, and how often it is the labelled one.
 *
 *   argmax: y[i] = the first k at which x[i,k] is largest
 *   countCorrect: y = the number of rows whose argmax is their label
 *
 * No gradient flows.
 */
import { getDevice } from "../../engine/device.ts";
import { defineKernel, kernelFamily } from "../../engine/kernel.ts";
import { sameShape, show } from "../../engine/shape.ts";
import type { Tensor } from "../../engine/tensor.ts";

const WG = 64;
/** Threads that count, a row each: a batch has few rows, so one launch does. */
const COUNT_WG = 256;

/** `first_largest(row)`: the index of the row's largest value, the first of equals. */
const firstLargest = /* wgsl */ `
fn first_largest(row: u32) -> u32 {
  var index = 0u;
  var value = x[row * K];
  for (var k = 1u; k < K; k++) {
    let v = x[row * K + k];
    if (v > value) { value = v; index = k; }
  }
  return index;
}`;

// One workgroup per row. Each thread starts from a value of the row, so that the result is an index of it whatever the row holds.
const argmaxKernel = defineKernel({
  name: "argmax",
  inputs: { x: "f32" }, // (N, K)
  outputs: { y: "u32" }, // (N)
  constants: { K: "u32" },
  workgroup: WG,
  helpers: /* wgsl */ `
var<workgroup> best_value: array<f32, WG>;
var<workgroup> best_index: array<u32, WG>;`,
  code: /* wgsl */ `
    var index = min(li, K - 1u);
    var value = x[group * K + index];
    for (var j = 1u; j < (K + WG - 1u) / WG; j++) {
      let k = j * WG + li;
      if (k < K) {
        let v = x[group * K + k];
        if (v > value) { value = v; index = k; }
      }
    }
    best_value[li] = value;
    best_index[li] = index;
    workgroupBarrier();
    for (var s = WG / 2u; s > 0u; s /= 2u) {
      if (li < s) {
        let v = best_value[li + s];
        let k = best_index[li + s];
        if (v > best_value[li] || (v == best_value[li] && k < best_index[li])) { best_value[li] = v; best_index[li] = k; }
      }
      workgroupBarrier();
    }
    if (li == 0u) { y[group] = best_index[0]; }`,
});

// One thread per row: on a processor, whose barriers take more than a row does.
const argmaxAloneKernel = defineKernel({
  name: "argmax.alone",
  inputs: { x: "f32" }, // (N, K)
  outputs: { y: "u32" }, // (N)
  constants: { K: "u32" },
  params: { n: "u32" },
  workgroup: 16,
  helpers: firstLargest,
  code: "let row = group * WG + li; if (row < p.n) { y[row] = first_largest(row); }",
});

// One workgroup: each thread counts its share of the rows, the first adds the counts.
const countKernel = kernelFamily(({ labels }: { labels: "u32" | "i32" }) =>
  defineKernel({
    name: "countCorrect",
    inputs: { x: "f32", labels }, // (B, K), (B)
    outputs: { y: "u32" }, // (1)
    constants: { K: "u32" },
    params: { B: "u32" },
    workgroup: { upTo: COUNT_WG },
    helpers: `var<workgroup> counts: array<u32, WG>; ${firstLargest}`,
    code: /* wgsl */ `
    var count = 0u;
    for (var b = li; b < p.B; b += WG) {
      count += select(0u, 1u, first_largest(b) == u32(labels[b]));
    }
    counts[li] = count;
    workgroupBarrier();
    if (li == 0u) {
      var total = 0u;
      for (var t = 0u; t < WG; t++) { total += counts[t]; }
      y[0] = total;
    }`,
  }),
);

/** x: (..., K). Returns u32 (...): for each row its largest value's index, the first of equals. */
export function argmax(x: Tensor): Tensor {
  const K = x.shape.at(-1);
  if (K === undefined) throw new Error(`argmax: expected x [..,K], got ${show(x.shape)}`);
  const n = x.size / K;
  const tensors = { inputs: { x }, outputs: { y: x.shape.slice(0, -1) }, constants: { K } };
  return getDevice().adapter.software
    ? argmaxAloneKernel({ ...tensors, params: { n }, threads: n }).y
    : argmaxKernel({ ...tensors, groups: n }).y;
}

/** logits: (B, K), labels: (B), u32 or i32. Returns u32 (1). */
export function countCorrect(logits: Tensor, labels: Tensor): Tensor {
  if (logits.shape.length !== 2 || !sameShape(labels.shape, [logits.shape[0]!]) || (labels.dtype !== "u32" && labels.dtype !== "i32")) {
    throw new Error(
      `countCorrect: expected logits [B,K] and u32 or i32 labels [B], got ${show(logits.shape)} and ${labels.dtype} ${show(labels.shape)}`,
    );
  }
  const [B, K] = logits.shape as [number, number];
  return countKernel({ labels: labels.dtype })({
    inputs: { x: logits, labels },
    outputs: { y: [1] },
    constants: { K },
    params: { B },
    groups: 1,
  }).y;
}

/**
 * The second half of a sum down columns: (S, D) partial sums become (D), in a fixed order. In a recorded step, sums that are placed in one
 * buffer, as the gradients of weights, share launches (joined-sums.ts).
 */
import { getDevice } from "../../engine/device.ts";
import { defineKernel, kernelFamily, type Elem } from "../../engine/kernel.ts";
import { show } from "../../engine/shape.ts";
import type { Tensor } from "../../engine/tensor.ts";
import { sumsMayJoin } from "./join-launches.ts";
import { columnThreads } from "./joined-sums.ts";
import { typeOf, widthFor, type Width } from "./width.ts";
import { range, unroll } from "./unroll.ts";

interface Config {
  readonly lanes: number;
  readonly columns: number;
  readonly count: number;
  readonly W: Width;
}

// The `lanes` threads of a column take rows in turn, then add up their sums.
const kernel = kernelFamily(({ lanes, columns, count, W }: Config) => {
  const T = typeOf(W);
  const all = (line: (k: number) => string) => unroll(count, line);
  const named = (name: string) => Object.fromEntries(range(count).map((k) => [name + k, T])) as Record<string, Elem>;
  return defineKernel({
    name: "addParts",
    inputs: named("parts"), // (S, D) each
    outputs: named("y"), // (D) each
    params: { rows: "u32", len: "u32" },
    workgroup: lanes * columns,
    helpers: lanes === 1 ? "" : all((k) => `var<workgroup> sums${k}: array<${T}, WG>;`),
    code: /* wgsl */ `
    let column = group * ${columns}u + li % ${columns}u;
    ${all((k) => `var s${k} = ${T}();`)}
    if (column < p.len) {
      for (var row = li / ${columns}u; row < p.rows; row += ${lanes}u) { ${all((k) => `s${k} += parts${k}[row * p.len + column];`)} }
    }${
      lanes === 1
        ? ""
        : /* wgsl */ `
    ${all((k) => `sums${k}[li] = s${k};`)}
    workgroupBarrier();
    for (var n = 0u; n < ${Math.log2(lanes)}u; n++) {
      let half = (WG / 2u) >> n;
      if (li < half) { ${all((k) => `sums${k}[li] += sums${k}[(li + half) % WG];`)} }
      workgroupBarrier();
    }
    ${all((k) => `s${k} = sums${k}[li];`)}`
    }
    if (li < ${columns}u && column < p.len) { ${all((k) => `y${k}[column] = s${k};`)} }`,
  });
});

/** parts: tensors (S, D) alike. Returns the sums over their rows, (D) each. `on`: what the adapter is, unless given. */
export function addParts<const P extends readonly Tensor[]>(
  parts: P,
  on: keyof typeof columnThreads = getDevice().adapter.software ? "cpu" : "gpu",
): { readonly [K in keyof P]: Tensor } {
  const [rows, D] = parts[0]!.shape as [number, number];
  if (parts.some((t) => t.shape.length !== 2 || t.shape[0] !== rows || t.shape[1] !== D))
    throw new Error(`addParts: expected tensors [S,D] alike, got ${parts.map((t) => show(t.shape)).join(", ")}`);
  const W = widthFor(D);
  const { lanes, columns } = columnThreads[on]();
  const made = kernel({ lanes, columns, count: parts.length, W })({
    inputs: Object.fromEntries(parts.map((t, k) => [`parts${k}`, t])),
    outputs: Object.fromEntries(parts.map((_, k) => [`y${k}`, [D]])),
    params: { rows, len: D / W },
    groups: Math.ceil(D / W / columns),
  });
  sumsMayJoin(parts.map((t, k) => ({ parts: t, y: made[`y${k}`]!, shared: true })));
  return parts.map((_, k) => made[`y${k}`]!) as { [K in keyof P]: Tensor };
}

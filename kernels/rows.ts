/**
 * Who works on a row: kernels that reduce rows and map them are written once, and run by a workgroup per row or by a thread
 * per row. The latter needs no barriers, which are what costs on CPU adapters; the former is what GPUs want.
 *
 * The kernel's text walks its row by `for (var i = FIRST; i < end; i += STEP)`, and gets sums and maxima over all that share it.
 */
import { getDevice } from "../engine/device.ts";
import type { Tensor } from "../engine/tensor.ts";
import { chosen } from "../engine/tuning.ts";
import { workgroupMax, workgroupSum } from "./reduce.ts";

/** A workgroup per row, its threads sharing what they find; or a thread per row. */
export type RowVariant = "shared" | "register";

/** The one asked for, or the one measured to be faster for `op` on such rows, or the one that suits such an adapter. */
export function rowVariant(op: string, x: Tensor, asked?: RowVariant): RowVariant {
  if (asked) return asked;
  const D = x.shape.at(-1) ?? 1;
  const choice = chosen(`${op} ${x.size / D}x${D}`);
  return choice === "shared" || choice === "register" ? choice : getDevice().adapter.software ? "register" : "shared";
}

/** The variants that can take rows of D. */
export const rowVariants = (_D: number): RowVariant[] => ["shared", "register"];

/** Words for a kernel over rows: `code(body)` runs `body` for `row`, of `p.rows` (`group`: the workgroup, if not counted from the first); `sum(v)` and `max(v)` are over the row. */
export const rowWords = {
  shared: {
    workgroup: 64,
    helpers: workgroupSum + workgroupMax,
    first: "li", step: "WG", leads: "li == 0u",
    sum: (v: string) => `workgroup_sum(${v}, li)`,
    max: (v: string) => `workgroup_max(${v}, li)`,
    code: (body: string, group = "group") => `let row = ${group}; if (row < p.rows) { ${body} }`,
    groups: (rows: number) => rows,
  },
  register: {
    workgroup: 16,
    helpers: "",
    first: "0u", step: "1u", leads: "true",
    sum: (v: string) => v,
    max: (v: string) => v,
    code: (body: string, group = "group") => `let row = ${group} * WG + li; if (row < p.rows) { ${body} }`,
    groups: (rows: number) => Math.ceil(rows / 16),
  },
} as const;

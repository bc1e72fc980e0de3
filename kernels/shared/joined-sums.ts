/** Sums of partial sums, several to a launch: how the weight gradients of a recorded step are finished, with the bits that each has alone. */
import { getDevice } from "../../engine/device.ts";
import { defineKernel, kernelFamily } from "../../engine/kernel.ts";
import { Tensor } from "../../engine/tensor.ts";
import { range, unroll } from "./unroll.ts";
import { wideWorkgroup } from "./wide-workgroup.ts";

/** Threads that share a column (vector), and columns of a workgroup. Barriers are dear on CPU adapters. */
export const columnThreads = { gpu: () => ({ lanes: wideWorkgroup() / 4, columns: 4 }), cpu: () => ({ lanes: 1, columns: 16 }) } as const;

/** A sum over the rows of `parts` (S, D), D a multiple of 4. */
interface Sum {
  readonly parts: Tensor;
  /** Several threads share a column, as in `addParts`; else one adds its rows in order. */
  readonly shared: boolean;
}

/** One whose result goes to `y`. */
export interface PartsSum extends Sum {
  readonly y: Tensor;
}

interface Config {
  readonly lanes: number;
  readonly columns: number;
  /** Of each sum, which buffer its parts lie in. */
  readonly lies: readonly number[];
}

// Each sum has some of the workgroups. Positions and lengths are in vectors.
const kernel = kernelFamily(({ lanes, columns, lies }: Config) => {
  const buffers = Math.max(...lies) + 1;
  const numbers = ["end", "start", "rows", "len", "at", "lanes"] as const;
  const take = (k: number, by: string) =>
    `${by}start = p.start${k}; ${by}rows = p.rows${k}; ${by}len = p.len${k}; ${by}at = p.at${k}; ${by}lanes = p.lanes${k};`;
  return defineKernel({
    name: "joinedSums",
    inputs: Object.fromEntries(range(buffers).map((b) => [`parts${b}`, "vec4f"])) as Record<string, "vec4f">,
    updates: { y: "vec4f" }, // (n)
    params: Object.fromEntries(range(lies.length).flatMap((k) => numbers.map((name) => [name + k, "u32"]))) as Record<string, "u32">,
    workgroup: lanes * columns,
    helpers: lanes === 1 ? "" : "var<workgroup> sums: array<vec4f, WG>;",
    code: /* wgsl */ `
    var which = 0u; var begin = 0u; ${take(0, "var ")}
    ${unroll(lies.length - 1, (k) => `if (group >= p.end${k}) { which = ${lies[k + 1]}u; begin = p.end${k}; ${take(k + 1, "")} }`, "\n    ")}
    let columns = WG / lanes;
    let column = (group - begin) * columns + li % columns;
    var sum = vec4f();
    if (column < len) {
      switch which {
        ${unroll(buffers, (b) => `case ${b}u: { for (var row = li / columns; row < rows; row += lanes) { sum += parts${b}[start + row * len + column]; } }`, "\n        ")}
        default {}
      }
    }${
      lanes === 1
        ? ""
        : /* wgsl */ `
    if (lanes > 1u) {
      sums[li] = sum;
      workgroupBarrier();
      for (var n = 0u; n < ${Math.log2(lanes)}u; n++) {
        let half = (WG / 2u) >> n;
        if (li < half) { sums[li] += sums[(li + half) % WG]; }
        workgroupBarrier();
      }
      sum = sums[li];
    }`
    }
    if (li < columns && column < len) { y[at + column] = sum; }`,
  });
});

const storagesOf = (sums: readonly Sum[]) => [...new Set(sums.map(({ parts }) => parts.storage))];

/** Whether one launch can read the parts of all these. */
export const fitTogether = (sums: readonly Sum[]): boolean => storagesOf(sums).length < getDevice().limits.maxStorageBuffersPerShaderStage;

/** Sums of parts that fit together, into `target` from elements `at` on. `on`: what the adapter is, unless given. */
export function joinSums(
  target: Tensor,
  sums: readonly (Sum & { readonly at: number })[],
  on: keyof typeof columnThreads = getDevice().adapter.software ? "cpu" : "gpu",
): void {
  const { lanes, columns } = columnThreads[on]();
  const storages = storagesOf(sums);
  let groups = 0;
  const params = sums.map(({ parts, at, shared }, k) => {
    const [rows, D] = parts.shape as [number, number];
    const own = shared ? lanes : 1;
    groups += Math.ceil((D / 4) * (own / (lanes * columns)));
    const numbers = { end: groups, start: parts.offset / 16, rows, len: D / 4, at: at / 4, lanes: own };
    return Object.fromEntries(Object.entries(numbers).map(([name, value]) => [name + k, value]));
  });
  kernel({ lanes, columns, lies: sums.map(({ parts }) => storages.indexOf(parts.storage)) })({
    inputs: Object.fromEntries(
      storages.map((storage, b) => [`parts${b}`, new Tensor([Math.floor(storage.bytes / 16) * 4], "f32", storage)]),
    ),
    updates: { y: target },
    params: Object.assign({}, ...params) as Record<string, number>,
    groups,
  });
}

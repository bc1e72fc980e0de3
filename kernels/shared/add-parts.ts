/**
 * The second half of a sum down columns: (S, D) partial sums become (D), in a fixed order. In a recorded step, sums that are placed in one
 * buffer, as the gradients of weights, share launches: with the same bits.
 */
import { getDevice } from "../../engine/device.ts";
import { defineKernel, kernelFamily, type Elem } from "../../engine/kernel.ts";
import { mayJoin, type Kind } from "../../engine/launch.ts";
import { Tensor } from "../../engine/tensor.ts";
import { show } from "../../engine/shape.ts";
import { range, unroll } from "./unroll.ts";
import { wideWorkgroup } from "./wide-workgroup.ts";

/** Threads that share a column (vector), and columns of a workgroup. Barriers are dear on CPU adapters. */
const sizes = { gpu: () => ({ lanes: wideWorkgroup() / 4, columns: 4 }), cpu: () => ({ lanes: 1, columns: 16 }) } as const;

interface Config {
  readonly lanes: number;
  readonly columns: number;
  readonly count: number;
  readonly W: 1 | 4;
}

// The `lanes` threads of a column take rows in turn, then add up their sums.
const kernel = kernelFamily(({ lanes, columns, count, W }: Config) => {
  const T: Elem = W === 4 ? "vec4f" : "f32";
  const all = (line: (k: number) => string) => Array.from({ length: count }, (_, k) => line(k)).join(" ");
  const named = (name: string) => Object.fromEntries(Array.from({ length: count }, (_, k) => [name + k, T])) as Record<string, Elem>;
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
  on: keyof typeof sizes = getDevice().adapter.software ? "cpu" : "gpu",
): { readonly [K in keyof P]: Tensor } {
  const [rows, D] = parts[0]!.shape as [number, number];
  if (parts.some((t) => t.shape.length !== 2 || t.shape[0] !== rows || t.shape[1] !== D))
    throw new Error(`addParts: expected tensors [S,D] alike, got ${parts.map((t) => show(t.shape)).join(", ")}`);
  const W = D % 4 === 0 ? 4 : 1;
  const { lanes, columns } = sizes[on]();
  const made = kernel({ lanes, columns, count: parts.length, W })({
    inputs: Object.fromEntries(parts.map((t, k) => [`parts${k}`, t])),
    outputs: Object.fromEntries(parts.map((_, k) => [`y${k}`, [D]])),
    params: { rows, len: D / W },
    groups: Math.ceil(D / W / columns),
  });
  sumsMayJoin(parts.map((t, k) => ({ parts: t, y: made[`y${k}`]!, shared: true })));
  return parts.map((_, k) => made[`y${k}`]!) as { [K in keyof P]: Tensor };
}

/** A sum over the rows of `parts`, S of y's elements each, that goes to `y`. */
export interface PartsSum {
  readonly parts: Tensor;
  readonly y: Tensor;
  /** Several threads share a column, as in `addParts`; else one adds its rows in order. */
  readonly shared: boolean;
}

// The sums lie side by side in y; each has some of the workgroups. `first`: vectors of y before a sum's own.
const joinedKernel = kernelFamily(({ lanes, columns, count }: Omit<Config, "W">) => {
  const numbers = ["end", "rows", "len", "at", "lanes"] as const;
  return defineKernel({
    name: "addParts.joined",
    inputs: Object.fromEntries(range(count).map((k) => [`parts${k}`, "vec4f"])) as Record<string, "vec4f">, // (S, D) each
    updates: { y: "vec4f" }, // (n)
    params: Object.fromEntries(range(count).flatMap((k) => numbers.map((name) => [name + k, "u32"]))) as Record<string, "u32">,
    workgroup: lanes * columns,
    helpers: lanes === 1 ? "" : "var<workgroup> sums: array<vec4f, WG>;",
    code: /* wgsl */ `
    var which = 0u; var begin = 0u; var rows = p.rows0; var len = p.len0; var at = p.at0; var lanes = p.lanes0;
    ${unroll(count - 1, (k) => `if (group >= p.end${k}) { which = ${k + 1}u; begin = p.end${k}; rows = p.rows${k + 1}; len = p.len${k + 1}; at = p.at${k + 1}; lanes = p.lanes${k + 1}; }`, "\n    ")}
    let columns = WG / lanes;
    let column = (group - begin) * columns + li % columns;
    var sum = vec4f();
    if (column < len) {
      switch which {
        ${unroll(count, (k) => `case ${k}u: { for (var row = li / columns; row < rows; row += lanes) { sum += parts${k}[row * len + column]; } }`, "\n        ")}
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

/** Sums of so many launches wait for each other, so that all but the last are full. */
const WAITING = 2;
const perLaunch = (): number => getDevice().limits.maxStorageBuffersPerShaderStage - 1;

/** Sums into ranges of one buffer, as many to a launch as it has bindings for. `on`: what the adapter is, unless given. */
export function addPartsInto(
  target: Tensor,
  sums: readonly (Omit<PartsSum, "y"> & { readonly at: number })[],
  on: keyof typeof sizes = getDevice().adapter.software ? "cpu" : "gpu",
): void {
  const { lanes, columns } = sizes[on]();
  for (let from = 0; from < sums.length; from += perLaunch()) {
    const some = sums.slice(from, from + perLaunch());
    let groups = 0;
    const params = some.map(({ parts, at, shared }, k) => {
      const [rows, D] = parts.shape as [number, number];
      const own = shared ? lanes : 1;
      groups += Math.ceil(D / 4 / ((lanes * columns) / own));
      return { [`end${k}`]: groups, [`rows${k}`]: rows, [`len${k}`]: D / 4, [`at${k}`]: at / 4, [`lanes${k}`]: own };
    });
    joinedKernel({ lanes, columns, count: some.length })({
      inputs: Object.fromEntries(some.map(({ parts }, k) => [`parts${k}`, parts])),
      updates: { y: target },
      params: Object.assign({}, ...params) as Record<string, number>,
      groups,
    });
  }
}

const together: Kind<PartsSum> = {
  most: () => WAITING * perLaunch(),
  launch(sums, storage) {
    const target = new Tensor([storage.bytes / 4], "f32", storage);
    const placed = sums.map(({ y, ...sum }) => ({ ...sum, at: (y.storage.placed!.offset + y.offset) / 4, y }));
    for (let from = 0; from < sums.length; from += perLaunch()) {
      const some = placed.slice(from, from + perLaunch());
      addPartsInto(target, some);
      mayJoin(together, some);
    }
  },
};

/** Says that the latest launch makes these sums and nothing else. */
export function sumsMayJoin(sums: readonly PartsSum[]): void {
  if (sums.every(({ y }) => y.size % 4 === 0)) mayJoin(together, sums);
}

/**
 * The WGSL of fused attention: no N x M matrix in memory. The formulas are attention.ts's.
 *
 * Every kernel owns rows (queries, or keys and values), keeps them in registers and streams the other side past them:
 *
 *   register   one thread owns a row. Neighbouring threads each load one streamed row and pass it around by subgroup shuffles:
 *              no barriers, which are what costs on CPU adapters. Takes thread i of a workgroup to be lane i of its subgroup
 *              (modulo the size), as drivers do; without subgroups every thread loads every row.
 *   shared     a few threads own a row, each a share of its width; the stream comes through workgroup memory, 4 rows at a time.
 *
 * Dao et al. 2022, "FlashAttention", https://arxiv.org/abs/2205.14135; Dao 2023, https://arxiv.org/abs/2307.08691
 */
import { getDevice } from "../../engine/device.ts";
import { defineKernel, kernelFamily, type Elem } from "../../engine/kernel.ts";
import {
  addDots,
  addShares,
  addWeighted,
  dot,
  dots,
  leads,
  loadNumbers,
  loadRow,
  ownRow,
  perStreamed,
  perVector,
  perVectorInStream,
  rowsOf,
  storeRow,
  storeZeros,
  stream,
  workgroupMemory,
  zeros,
  type Config,
  type Kind,
  type Side,
} from "./rows.ts";

/** A kind of fused kernel, with its threads per workgroup if not the default; or `batched` (batched.ts). */
export type AttentionVariant = FusedVariant | "batched";
export type FusedVariant = keyof typeof BLOCKS;

// Fewer threads waste less past the last of 197 tokens; more threads share the streamed rows.
const BLOCKS = {
  register: { kind: "register", threads: 16 },
  "register-32": { kind: "register", threads: 32 },
  "register-64": { kind: "register", threads: 64 },
  shared: { kind: "shared", threads: 128 },
  "shared-64": { kind: "shared", threads: 64 },
} as const satisfies Readonly<Record<string, { kind: Kind; threads: number }>>;

export const ATTENTION_VARIANTS = [...Object.keys(BLOCKS), "batched"] as readonly AttentionVariant[];

/** Sizes of every kernel: B batches of H heads, N queries over M keys, D wide. */
export interface Sizes {
  readonly B: number;
  readonly H: number;
  readonly N: number;
  readonly M: number;
  readonly D: number;
  readonly scale: number;
}

const PARAMS = { n: "u32", m: "u32", heads: "u32", share: "u32", scale: "f32" } as const; // N, M, H
const LOG2E = "1.4426950408889634";

/**
 * The body of `forward` by a thread per row, without subgroups, for heads of 4:
 *
 *     let q_at = wid.y * p.n * 1u; let q_step = 1u; let k_at = wid.y * p.m * 1u; let k_step = 1u; let v_at = wid.y * p.m * 1u; let v_step = 1u; let y_at = wid.y * p.n * 1u; let y_step = 1u;
 *     let owned = wid.x * 16u + li / 1u;
 *     let owns = owned < p.n;
 *     let row = min(owned, p.n - 1u);
 *     var q_row: array<vec4f, 1>; for (var j = 0u; j < p.share; j++) { q_row[j] = q[q_at + row * q_step + j]; }
 *     var sum: array<vec4f, 1>;
 *     var most = -1e30;
 *     var total = 0.0;
 *     var a_row: array<vec4f, 1>; var b_row: array<vec4f, 1>;
 *     for (var block = 0u; block < (p.m + 0u) / 1u; block++) {
 *       let mine = min(block * 1u + li % 1u, p.m - 1u);
 *       for (var j = 0u; j < p.share; j++) { a_row[j] = k[k_at + mine * k_step + j]; b_row[j] = v[v_at + mine * v_step + j]; }
 *       for (var lane = 0u; lane < 1u; lane++) {
 *         let first = block * 1u + lane;
 *         var s0 = 0.0;
 *         s0 += dot(q_row[0u], a_row[0u]);
 *         s0 = select(-1e30, s0 * (p.scale * 1.4426950408889634), first + 0u < p.m);
 *         var higher = most; higher = max(higher, s0);
 *         let fade = exp2(most - higher);
 *         let e0 = exp2(s0 - higher);
 *         most = higher;
 *         total = total * fade + (e0);
 *         sum[0u] *= fade;
 *         sum[0u] += e0 * b_row[0u];
 *       }
 *     }
 *     if (owns) {
 *       let r = 1.0 / total;
 *       for (var j = 0u; j < p.share; j++) { y[y_at + row * y_step + j] = sum[j] * r; }
 *     }
 *     if (owns) { lse[wid.y * p.n + row] = most + log2(total); }
 */
const kernels = kernelFamily((config: Config) => {
  const rows = rowsOf(config);
  const { T } = rows;
  const four = (text: (r: number) => string, separator?: string) => perStreamed(rows, text, separator);
  const side = (place: "q" | "k" | "v"): Side => [config.packed ? "qkv" : place, place];
  const [q, k, v] = [side("q"), side("k"), side("v")];
  const given: Record<string, Elem> = config.packed ? { qkv: T } : { q: T, k: T, v: T }; // (B, M, 3, H, D); or (B, H, N, D) and 2 of (B, H, M, D)
  const common = {
    params: PARAMS,
    workgroup: rows.WG,
    helpers: workgroupMemory(rows),
    needs: config.kind === "register" && config.lanes > 1 ? ["subgroups"] : [],
  } as const;

  // Owns queries.
  const forward = defineKernel({
    ...common,
    name: "attention.forward",
    inputs: given,
    outputs: { y: T, lse: "f32" }, // (B, H, N, D) or (B, N, H, D); (B, H, N)
    code: /* wgsl */ `
    ${ownRow(rows, "n")}
    ${loadRow(rows, "q_row", q)}
    ${zeros(rows, "sum")}
    var most = -1e30;
    var total = 0.0;
    ${stream(
      rows,
      "m",
      k,
      v,
      (k, v) => `
      ${dots(rows, "s", "q_row", k)} ${addDots(rows, "s")}
      ${four((r) => `s${r} = select(-1e30, s${r} * (p.scale * ${LOG2E}), first + ${r}u < p.m);`)}
      var higher = most; ${four((r) => `higher = max(higher, s${r});`)}
      let fade = exp2(most - higher);
      ${four((r) => `let e${r} = exp2(s${r} - higher);`)}
      most = higher;
      total = total * fade + (${four((r) => `e${r}`, " + ")});
      ${perVectorInStream(rows, (j) => `sum[${j}] *= fade;`)}
      ${addWeighted(rows, "sum", "e", v)}`,
    )}
    if (owns) {
      let r = 1.0 / total;
      ${storeRow(rows, ["y", "y"], "sum", "r")}
    }
    if (${leads(rows)}) { lse[wid.y * p.n + row] = most + log2(total); }`,
  });

  // Owns queries.
  const backwardQ = defineKernel({
    ...common,
    name: "attention.backwardQ",
    inputs: { ...given, y: T, dy: T, lse: "f32" } as Record<string, Elem>,
    outputs: { dq: T, deltas: "f32" }, // as q lies, in dqkv if packed; (B, H, N)
    code: /* wgsl */ `
    ${ownRow(rows, "n")}
    ${loadRow(rows, "q_row", q)}
    ${loadRow(rows, "dy_row", ["dy", "y"])}
    ${loadRow(rows, "y_row", ["y", "y"])}
    ${zeros(rows, "sum")}
    var delta = vec4f();
    ${perVector(rows, (j) => `delta.x += ${dot(rows, `dy_row[${j}]`, `y_row[${j}]`)};`)}
    ${addShares(rows, "delta")}
    let l = lse[wid.y * p.n + row];
    ${stream(
      rows,
      "m",
      k,
      v,
      (k, v) => `
      ${dots(rows, "s", "q_row", k)} ${dots(rows, "dp", "dy_row", v)} ${addDots(rows, "s", "dp")}
      ${four((r) => `let ds${r} = select(0.0, exp2(s${r} * (p.scale * ${LOG2E}) - l), first + ${r}u < p.m) * (dp${r} - delta.x);`)}
      ${addWeighted(rows, "sum", "ds", k)}`,
    )}
    if (owns) { ${storeRow(rows, ["dq", "q"], "sum", "p.scale")} }
    if (${leads(rows)}) { deltas[wid.y * p.n + row] = delta.x; }`,
  });

  // Owns keys and values; queries and dy stream by.
  const backwardKV = {
    ...common,
    name: "attention.backwardKV",
    inputs: { ...given, dy: T, lse: "f32", deltas: "f32" } as Record<string, Elem>,
    code: (dk: string, dv: string, first = "") => /* wgsl */ `
    ${ownRow(rows, "m")}${first}
    ${loadRow(rows, "k_row", k)}
    ${loadRow(rows, "v_row", v)}
    ${zeros(rows, "k_sum")}
    ${zeros(rows, "v_sum")}
    let stats = wid.y * p.n;
    ${stream(
      rows,
      "n",
      q,
      ["dy", "y"],
      (q, dy) => `
      ${dots(rows, "s", "k_row", q)} ${dots(rows, "dp", "v_row", dy)} ${addDots(rows, "s", "dp")}
      ${loadNumbers(rows, "l", "lse", "n")} ${loadNumbers(rows, "delta", "deltas", "n")}
      ${four((r) => `let e${r} = select(0.0, exp2(s${r} * (p.scale * ${LOG2E}) - l${r}), first + ${r}u < p.n); let ds${r} = e${r} * (dp${r} - delta${r});`)}
      ${addWeighted(rows, "v_sum", "e", dy)}
      ${addWeighted(rows, "k_sum", "ds", q)}`,
    )}
    if (owns) {
      ${storeRow(rows, [dk, "k"], "k_sum", "p.scale")}
      ${storeRow(rows, [dv, "v"], "v_sum", "1.0")}
    }`,
  };
  return {
    rows: rows.owned,
    share: rows.share,
    forward,
    backwardQ,
    backwardKV: defineKernel({ ...backwardKV, outputs: { dk: T, dv: T }, code: backwardKV.code("dk", "dv") }),
    // Fills what of dqkv backwardQ did not write: two thirds, and of tokens that have not asked the first.
    backwardKVPacked: defineKernel({
      ...backwardKV,
      updates: { dqkv: T },
      code: backwardKV.code("dqkv", "dqkv", ` if (owns && row >= p.n) { ${storeZeros(rows, ["dqkv", "q"])} }`),
    }),
  };
});

function lanesOf(kind: Kind): 1 | 4 | 8 {
  const least = kind === "shared" ? 1 : (getDevice().subgroups?.min ?? 1);
  return least >= 8 ? 8 : least >= 4 ? 4 : 1;
}

/** The kernels of a variant and how to launch them; `packed`: q, k and v in one tensor. */
export function fusedAttention({ B, H, N, M, D, scale }: Sizes, variant: FusedVariant, packed: boolean) {
  const { kind, threads } = BLOCKS[variant];
  const k = kernels({ kind, threads, packed, D, lanes: lanesOf(kind), rolled: kind === "register" || getDevice().adapter.software });
  const params = { n: N, m: M, heads: H, share: k.share, scale };
  return {
    ...k,
    overQueries: { params, groups: [Math.ceil(N / k.rows), B * H] },
    overKeys: { params, groups: [Math.ceil(M / k.rows), B * H] },
    stats: [B, H, N],
  } as const;
}

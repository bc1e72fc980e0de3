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

/** Which kernels, and how many threads to a workgroup where not the usual number; `batched` is the one of attention-products.ts. */
export type AttentionVariant = FusedVariant | "batched";
export type FusedVariant = keyof typeof BLOCKS;
type Kind = "register" | "shared";

// Fewer threads waste less past the last of 197 tokens; more share what they stream.
const BLOCKS = {
  register: { kind: "register", threads: 16 },
  "register-32": { kind: "register", threads: 32 },
  "register-64": { kind: "register", threads: 64 },
  shared: { kind: "shared", threads: 128 },
  "shared-64": { kind: "shared", threads: 64 },
} as const satisfies Readonly<Record<string, { kind: Kind; threads: number }>>;

export const ATTENTION_VARIANTS = [...Object.keys(BLOCKS), "batched"] as readonly AttentionVariant[];

/** What every kernel goes by: B batches of H heads, N queries over M keys, D wide. */
export interface Sizes {
  readonly B: number;
  readonly H: number;
  readonly N: number;
  readonly M: number;
  readonly D: number;
  readonly scale: number;
}

interface Config {
  readonly kind: Kind;
  /** Per workgroup, at most. */
  readonly threads: number;
  /** q, k, v in one [B,N,3,H,D]; otherwise each on its own, [B,H,N,D]. */
  readonly packed: boolean;
  readonly D: number;
  /** Neighbouring threads that pass each other what they loaded (register only). */
  readonly lanes: 1 | 4 | 8;
  /** Leave loops over a row's elements as loops, against compile time; GPUs want them unrolled, arrays in registers. */
  readonly rolled: boolean;
}

const PARAMS = { n: "u32", m: "u32", heads: "u32", share: "u32", scale: "f32" } as const; // N, M, H
const LOG2E = "1.4426950408889634";

/** The words that the three kernels share. A row is DV elements of type T; a thread keeps rows, or shares of them, in arrays. */
function words({ kind, threads, packed, D, lanes, rolled }: Config) {
  const shared = kind === "shared";
  const W = D % 4 === 0 ? 4 : 1;
  const T: "vec4f" | "f32" = W === 4 ? "vec4f" : "f32";
  const DV = D / W;
  // Threads per row: shares of at most 32 floats leave registers for four of them.
  const split = shared ? ([1, 2, 3, 4].find((s) => DV % s === 0 && D / s <= 32) ?? 1) : 1;
  const rows = Math.floor(threads / split);
  const WG = rows * split;
  const R = shared ? 4 : 1; // streamed rows at a time
  const tile = D > 64 ? 8 : 16; // and per workgroup tile
  const share = DV / split;
  const range = Array.from({ length: R }, (_, r) => r);
  const four = (line: (r: number) => string, by = " ") => range.map(line).join(by);
  // Drivers unroll a loop whose length they know; `p.share` they do not know. Compiling a row of 64 unrolled takes a CPU adapter seconds.
  const loop = (line: (j: string) => string) => `for (var j = 0u; j < p.share; j++) { ${line("j")} }`;
  const unrolled = (line: (j: string) => string) => Array.from({ length: share }, (_, j) => line(`${j}u`)).join("\n      ");
  const each = rolled ? loop : unrolled;
  const eachHot = rolled && shared ? loop : unrolled;
  const dot = (a: string, b: string) => (W === 4 ? `dot(${a}, ${b})` : `${a} * ${b}`);
  const part = split > 1 ? `li % ${split}u * ${share}u + ` : "";

  // Where a head's rows start, and from row to row.
  const place = (name: string, rowsOf: "n" | "m", third: number | null) => {
    if (!packed) return `let ${name}_at = wid.y * p.${rowsOf} * ${DV}u; let ${name}_step = ${DV}u;`;
    const [wide, skip] = third === null ? ["", ""] : ["3u * ", `${third}u * p.heads + `];
    return `let ${name}_step = ${wide}p.heads * ${DV}u; let ${name}_at = wid.y / p.heads * p.n * ${name}_step + (${skip}wid.y % p.heads) * ${DV}u;`;
  };

  /** The own row; `row` is in range even where the thread has none (`owns` is false). */
  const own = (count: "n" | "m") => `
    ${place("q", "n", 0)} ${place("k", "m", 1)} ${place("v", "m", 2)} ${place("y", "n", null)}
    let owned = wid.x * ${rows}u + li / ${split}u;
    let owns = owned < p.${count};
    let row = min(owned, p.${count} - 1u);`;

  const element = (buffer: string, where: string, row: string, j: string) => `${buffer}[${where}_at + ${row} * ${where}_step + ${j}]`;
  const zeros = (name: string) => `var ${name}: array<${T}, ${share}>;`;
  const load = (name: string, buffer: string, where: string) =>
    `${zeros(name)} ${each((j) => `${name}[${j}] = ${element(buffer, where, "row", part + j)};`)}`;
  const store = (buffer: string, where: string, name: string, factor: string) =>
    each((j) => `${element(buffer, where, "row", part + j)} = ${name}[${j}] * ${factor};`);

  /**
   * Streams rows of `a` and `b` past the own one. `body` gets words for element j of row r of the R at hand; `first` is the
   * number of the first; rows past the end repeat the last one.
   */
  type Row = (r: number, j: string) => string;
  const stream = (count: "n" | "m", a: [string, string], b: [string, string], body: (a: Row, b: Row) => string) => {
    if (!shared) {
      const pick =
        (name: string): Row =>
        (_, j) =>
          lanes > 1 ? `subgroupShuffle(${name}[${j}], lane)` : `${name}[${j}]`;
      return `
    ${zeros("a_row")} ${zeros("b_row")}
    for (var block = 0u; block < (p.${count} + ${lanes - 1}u) / ${lanes}u; block++) {
      let mine = min(block * ${lanes}u + li % ${lanes}u, p.${count} - 1u);
      ${each((j) => `a_row[${j}] = ${element(...a, "mine", j)}; b_row[${j}] = ${element(...b, "mine", j)};`)}
      for (var lane = 0u; lane < ${lanes}u; lane++) {
        let first = block * ${lanes}u + lane;
        ${body(pick("a_row"), pick("b_row"))}
      }
    }`;
    }
    const pick =
      (name: string): Row =>
      (r, j) =>
        `${name}[(quarter * 4u + ${r}u) * ${DV}u + ${part}${j}]`;
    return `
    for (var block = 0u; block < (p.${count} + ${tile - 1}u) / ${tile}u; block++) {
      workgroupBarrier(); // the tiles of the block before have been used
      for (var i = 0u; i < ${Math.ceil((tile * DV) / WG)}u; i++) {
        let e = i * ${WG}u + li;
        if (e < ${tile * DV}u) {
          let r = min(block * ${tile}u + e / ${DV}u, p.${count} - 1u);
          a_tile[e] = ${element(...a, "r", `e % ${DV}u`)};
          b_tile[e] = ${element(...b, "r", `e % ${DV}u`)};
        }
      }
      workgroupBarrier();
      for (var quarter = 0u; quarter < ${rolled ? `(min(p.${count} - block * ${tile}u, ${tile}u) + 3u) / 4u` : `${tile / 4}u`}; quarter++) {
        let first = block * ${tile}u + quarter * 4u;
        ${body(pick("a_tile"), pick("b_tile"))}
      }
    }`;
  };

  /** A number per streamed row, `name`r, from storage. */
  const stats = (name: string, buffer: string, count: "n" | "m") =>
    four((r) => `let ${name}${r} = ${buffer}[stats + min(first + ${r}u, p.${count} - 1u)];`);

  /** `name`r = the own row times streamed row r, over this thread's share. */
  const dots = (name: string, mine: string, theirs: Row) => `
      ${four((r) => `var ${name}${r} = 0.0;`)}
      ${eachHot((j) => four((r) => `${name}${r} += ${dot(`${mine}[${j}]`, theirs(r, j))};`))}`;

  /** Adds each vec4f of `names` over the threads of a row. */
  const joinShares = (...names: string[]) =>
    split === 1
      ? ""
      : `
      ${names.map((v, i) => `shares[${i * WG}u + li] = ${v};`).join(" ")}
      workgroupBarrier();
      ${names.map((v, i) => `${v} = ${Array.from({ length: split }, (_, s) => `shares[${i * WG}u + li / ${split}u * ${split}u + ${s}u]`).join(" + ")};`).join(" ")}
      workgroupBarrier(); // shares are written again`;
  const joinDots = (...names: string[]) =>
    split === 1
      ? ""
      : `
      ${names.map((v) => `var ${v}s = vec4f(${four((r) => `${v}${r}`, ", ")});`).join(" ")}
      ${joinShares(...names.map((v) => `${v}s`))}
      ${names.map((v) => four((r) => `${v}${r} = ${v}s[${r}];`)).join(" ")}`;

  /** Adds to `sum` the streamed rows, row r times `weight`r. */
  const gather = (sum: string, weight: string, theirs: Row) =>
    eachHot((j) => `${sum}[${j}] += ${four((r) => `${weight}${r} * ${theirs(r, j)}`, " + ")};`);

  const helpers = !shared
    ? ""
    : `var<workgroup> a_tile: array<${T}, ${tile * DV}>; var<workgroup> b_tile: array<${T}, ${tile * DV}>;
    ${split > 1 ? `var<workgroup> shares: array<vec4f, ${2 * WG}>;` : ""}`;
  const leads = split > 1 ? `owns && li % ${split}u == 0u` : "owns"; // the one thread of a row that writes its numbers
  return {
    T,
    rows,
    WG,
    share,
    helpers,
    own,
    load,
    store,
    zeros,
    stream,
    stats,
    dots,
    dot,
    joinShares,
    joinDots,
    gather,
    leads,
    each,
    eachHot,
    four,
  };
}

const kernels = kernelFamily((config: Config) => {
  const w = words(config);
  const { T, four } = w;
  const [q, k, v] = config.packed ? ["qkv", "qkv", "qkv"] : ["q", "k", "v"];
  const given: Record<string, Elem> = config.packed ? { qkv: T } : { q: T, k: T, v: T }; // (B, N, 3, H, D); or (B, H, N, D) and 2 of (B, H, M, D)
  const common = {
    params: PARAMS,
    workgroup: w.WG,
    helpers: w.helpers,
    needs: config.kind === "register" && config.lanes > 1 ? ["subgroups"] : [],
  } as const;

  // Owns queries.
  const forward = defineKernel({
    ...common,
    name: "attention.forward",
    inputs: given,
    outputs: { y: T, lse: "f32" }, // (B, H, N, D) or (B, N, H, D); (B, H, N)
    code: /* wgsl */ `
    ${w.own("n")}
    ${w.load("q_row", q, "q")}
    ${w.zeros("sum")}
    var most = -1e30;
    var total = 0.0;
    ${w.stream(
      "m",
      [k, "k"],
      [v, "v"],
      (k, v) => `
      ${w.dots("s", "q_row", k)} ${w.joinDots("s")}
      ${four((r) => `s${r} = select(-1e30, s${r} * (p.scale * ${LOG2E}), first + ${r}u < p.m);`)}
      var higher = most; ${four((r) => `higher = max(higher, s${r});`)}
      let fade = exp2(most - higher);
      ${four((r) => `let e${r} = exp2(s${r} - higher);`)}
      most = higher;
      total = total * fade + (${four((r) => `e${r}`, " + ")});
      ${w.eachHot((j) => `sum[${j}] *= fade;`)}
      ${w.gather("sum", "e", v)}`,
    )}
    if (owns) {
      let r = 1.0 / total;
      ${w.store("y", "y", "sum", "r")}
    }
    if (${w.leads}) { lse[wid.y * p.n + row] = most + log2(total); }`,
  });

  // Owns queries.
  const backwardQ = defineKernel({
    ...common,
    name: "attention.backwardQ",
    inputs: { ...given, y: T, dy: T, lse: "f32" } as Record<string, Elem>,
    outputs: { dq: T, deltas: "f32" }, // as q lies, in dqkv if packed; (B, H, N)
    code: /* wgsl */ `
    ${w.own("n")}
    ${w.load("q_row", q, "q")}
    ${w.load("dy_row", "dy", "y")}
    ${w.load("y_row", "y", "y")}
    ${w.zeros("sum")}
    var delta = vec4f();
    ${w.each((j) => `delta.x += ${w.dot(`dy_row[${j}]`, `y_row[${j}]`)};`)}
    ${w.joinShares("delta")}
    let l = lse[wid.y * p.n + row];
    ${w.stream(
      "m",
      [k, "k"],
      [v, "v"],
      (k, v) => `
      ${w.dots("s", "q_row", k)} ${w.dots("dp", "dy_row", v)} ${w.joinDots("s", "dp")}
      ${four((r) => `let ds${r} = select(0.0, exp2(s${r} * (p.scale * ${LOG2E}) - l), first + ${r}u < p.m) * (dp${r} - delta.x);`)}
      ${w.gather("sum", "ds", k)}`,
    )}
    if (owns) { ${w.store("dq", "q", "sum", "p.scale")} }
    if (${w.leads}) { deltas[wid.y * p.n + row] = delta.x; }`,
  });

  // Owns keys and values; queries and dy stream by.
  const backwardKV = {
    ...common,
    name: "attention.backwardKV",
    inputs: { ...given, dy: T, lse: "f32", deltas: "f32" } as Record<string, Elem>,
    code: (dk: string, dv: string) => /* wgsl */ `
    ${w.own("m")}
    ${w.load("k_row", k, "k")}
    ${w.load("v_row", v, "v")}
    ${w.zeros("k_sum")}
    ${w.zeros("v_sum")}
    let stats = wid.y * p.n;
    ${w.stream(
      "n",
      [q, "q"],
      ["dy", "y"],
      (q, dy) => `
      ${w.dots("s", "k_row", q)} ${w.dots("dp", "v_row", dy)} ${w.joinDots("s", "dp")}
      ${w.stats("l", "lse", "n")} ${w.stats("delta", "deltas", "n")}
      ${four((r) => `let e${r} = select(0.0, exp2(s${r} * (p.scale * ${LOG2E}) - l${r}), first + ${r}u < p.n); let ds${r} = e${r} * (dp${r} - delta${r});`)}
      ${w.gather("v_sum", "e", dy)}
      ${w.gather("k_sum", "ds", q)}`,
    )}
    if (owns) {
      ${w.store(dk, "k", "k_sum", "p.scale")}
      ${w.store(dv, "v", "v_sum", "1.0")}
    }`,
  };
  return {
    rows: w.rows,
    share: w.share,
    forward,
    backwardQ,
    backwardKV: defineKernel({ ...backwardKV, outputs: { dk: T, dv: T }, code: backwardKV.code("dk", "dv") }),
    // Fills the two thirds of dqkv that backwardQ left.
    backwardKVPacked: defineKernel({ ...backwardKV, updates: { dqkv: T }, code: backwardKV.code("dqkv", "dqkv") }),
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

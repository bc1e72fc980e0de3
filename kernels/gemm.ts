/**
 * Batched matrix products C = alpha op(A) op(B), then what the caller wants done to each element of C. Not an op itself.
 *
 * Operands are read where they lie, transposed or not, at any distance between rows and between batches (0 repeats one).
 * Two kinds of kernel: `register` keeps a tile of C per thread and shares nothing, which is what processors run best;
 * `shared` stages tiles of A and B in workgroup memory, which is what GPUs run best.
 *
 * The tiles follow the plan of V. Volkov and J. Demmel 2008, "Benchmarking GPUs to tune dense linear algebra",
 * https://doi.org/10.1109/SC.2008.5214359
 */
import { getDevice } from "../engine/device.ts";
import { defineKernel, kernelFamily, type Elem } from "../engine/kernel.ts";
import { numel, type Shape } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";
import { geluWgsl } from "./math.ts";

export type GemmVariant = "register" | "shared";

/** A matrix, or a batch of them, inside a tensor. Distances are in elements. */
export interface Operand {
  readonly tensor: Tensor;
  /** Stored the other way round: a as (K, M), b as (N, K). */
  readonly transposed?: boolean;
  /** Between stored rows; the row's length unless given. */
  readonly ld?: number;
  /** Between matrices, one per batch axis; 0 repeats. Dense unless given. */
  readonly batch?: readonly number[];
  /** Of the first element. */
  readonly offset?: number;
}

/** What happens to each element before it is written, in this order. Tensors lie as the result does. */
export interface Epilogue {
  /** (N): added. */
  readonly bias?: Tensor | undefined;
  /** Apply GELU; "keep" also returns what it was applied to. */
  readonly gelu?: boolean | "keep";
  /** Multiply by GELU'(this). */
  readonly geluGradOf?: Tensor | undefined;
  /** Added last. */
  readonly residual?: Tensor | undefined;
}

export interface Gemm extends Epilogue {
  readonly a: Operand;
  readonly b: Operand;
  readonly M: number;
  readonly N: number;
  readonly K: number;
  /** Sizes of the batch axes, at most four. */
  readonly batch?: readonly number[];
  /** Of the result. */
  readonly shape: Shape;
  /** Where the result's rows and matrices lie in it, if not densely one after the other. */
  readonly out?: { readonly ld: number; readonly batch: readonly number[] };
  readonly alpha?: number;
  /** Chosen by adapter unless given. */
  readonly variant?: GemmVariant | undefined;
}

interface Tile {
  readonly kind: GemmVariant;
  /** Threads along N and M; elements of C per thread along M and N; K per step (shared only). */
  readonly x: number;
  readonly y: number;
  readonly tm: number;
  readonly tn: number;
  readonly bk: number;
}

interface Slots {
  readonly bias: boolean;
  readonly gelu: boolean;
  readonly keep: boolean;
  readonly geluGrad: boolean;
  readonly residual: boolean;
}

interface Config {
  readonly tile: Tile;
  /** Whether each operand's neighbours in memory are neighbours along K. */
  readonly aAlongK: boolean;
  readonly bAlongK: boolean;
  readonly rank: number;
  /** Four elements per load and store. */
  readonly vec: boolean;
  /** M or N, and K, are no multiples of the tile. */
  readonly edge: boolean;
  readonly tail: boolean;
  readonly slots: Slots;
}

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const join = (n: number, f: (i: number) => string, by = " "): string => range(n).map(f).join(by);

const vec4Gelu = /* wgsl */ `
fn gelu4(v: vec4f) -> vec4f { return vec4f(gelu(v.x), gelu(v.y), gelu(v.z), gelu(v.w)); }
fn gelu_grad4(v: vec4f) -> vec4f { return vec4f(gelu_grad(v.x), gelu_grad(v.y), gelu_grad(v.z), gelu_grad(v.w)); }`;

const slotInputs = (s: Slots, elem: Elem): Record<string, Elem> => ({
  ...(s.bias ? { bias: elem } : {}), ...(s.geluGrad ? { before: elem } : {}), ...(s.residual ? { residual: elem } : {}),
});
const slotOutputs = (s: Slots, elem: Elem): Record<string, Elem> => ({ y: elem, ...(s.keep ? { kept: elem } : {}) });
const slotHelpers = (s: Slots): string => (s.gelu || s.geluGrad ? geluWgsl + vec4Gelu : "");

/** WGSL that finishes `v`, the element at column `n` and index `at`, and writes it. */
function finish(s: Slots, vec: boolean): string {
  const four = vec ? "4" : "";
  return [
    vec ? "let cell = at / 4u;" : "let cell = at;",
    s.bias ? `v += bias[${vec ? "n / 4u" : "n"}];` : "",
    s.keep ? "kept[cell] = v;" : "",
    s.gelu ? `v = gelu${four}(v);` : "",
    s.geluGrad ? `v *= gelu_grad${four}(before[cell]);` : "",
    s.residual ? "v += residual[cell];" : "",
    "y[cell] = v;",
  ].filter(Boolean).join(" ");
}

// One thread per TM x TN elements of C, its columns a workgroup's width apart so that neighbours read neighbours.
// Rows and columns past the edge read the last one, and are not written.
function registerCode({ tile: { x, y, tm, tn }, aAlongK, bAlongK, edge }: Config): string {
  return /* wgsl */ `
    let m0 = (tile_m * ${y}u + lid.y) * ${tm}u;
    let n0 = tile_n * ${x * tn}u + lid.x;
    ${edge ? "if (m0 >= p.M || n0 >= p.N) { return; }" : ""}
    ${join(tm, (i) => `let a_at${i} = a_base + ${edge ? `min(m0 + ${i}u, p.M - 1u)` : `(m0 + ${i}u)`}${aAlongK ? " * p.lda" : ""};`)}
    ${join(tn, (j) => `let b_at${j} = b_base + ${edge ? `min(n0 + ${j * x}u, p.N - 1u)` : `(n0 + ${j * x}u)`}${bAlongK ? " * p.ldb" : ""};`)}
    ${join(tm * tn, (e) => `var c${e} = 0.0;`)}
    for (var k = k0; k < k1; k++) {
      ${aAlongK ? "let ak = k;" : "let ak = k * p.lda;"} ${bAlongK ? "let bk = k;" : "let bk = k * p.ldb;"}
      ${join(tn, (j) => `let b${j} = b[b_at${j} + bk];`)}
      ${join(tm, (i) => `let a${i} = a[a_at${i} + ak]; ${join(tn, (j) => `c${i * tn + j} = fma(a${i}, b${j}, c${i * tn + j});`)}`, "\n      ")}
    }`;
}

// One workgroup per BM x BN tile of C; its threads load a slab of A and of B, BK deep, and each multiplies 8 x 8 (4 x 4) of it.
// A thread's eight rows are four and four, half a tile apart, so that neighbours read neighbouring shared memory; columns too.
function sharedCode(c: Config): string {
  const { tile: { x, y, tm, tn, bk }, aAlongK, bAlongK, edge, tail, vec } = c;
  const bm = y * tm, bn = x * tn;
  const W = vec ? 4 : 1;
  const load = (t: "a" | "b", rows: number, alongK: boolean, size: string) => {
    // `row` and `kk`: where in the slab; the slab is stored K-major, padded against bank conflicts.
    const per = (alongK ? bk : rows) / W;
    const fast = `(s % ${per}u) * ${W}u`, slow = `s / ${per}u`;
    const row = edge ? `min(${t}_row0 + row, p.${size} - ${alongK ? 1 : W}u)` : `(${t}_row0 + row)`;
    const k = tail ? `min(k + kk, k1 - ${alongK ? W : 1}u)` : "(k + kk)";
    const at = alongK ? `${t}_base + ${row} * p.ld${t} + ${k}` : `${t}_base + ${k} * p.ld${t} + ${row}`;
    const read = vec ? `${t}[(${at}) / 4u]` : `${t}[${at}]`;
    const write = (q: number) => `${t}_tile[(kk + ${alongK ? q : 0}u) * ${rows + 4}u + row + ${alongK ? 0 : q}u] = ${vec ? `v.${"xyzw"[q]}` : "v"};`;
    return /* wgsl */ `
      for (var r = 0u; r < ${(rows * bk) / W / (x * y)}u; r++) {
        let s = li + r * WG;
        let kk = ${alongK ? fast : slow}; let row = ${alongK ? slow : fast};
        let v = ${tail ? `select(${vec ? "vec4f()" : "0.0"}, ${read}, k + kk < k1)` : read};
        ${join(W, write)}
      }`;
  };
  const part = (t: "a" | "b", i: number, rows: number, id: string) => `let ${t}${i} = ${t}_tile[kk * ${rows + 4}u + ${id} * 4u + ${(i % 4) + (i < 4 ? 0 : rows / 2)}u];`;
  return /* wgsl */ `
    let a_row0 = tile_m * ${bm}u; let b_row0 = tile_n * ${bn}u;
    let m0 = a_row0 + lid.y * 4u; let n0 = b_row0 + lid.x * 4u;
    ${join(tm * tn, (e) => `var c${e} = 0.0;`)}
    for (var k = k0; k < k1; k += ${bk}u) {
      ${load("a", bm, aAlongK, "M")}
      ${load("b", bn, bAlongK, "N")}
      workgroupBarrier();
      for (var kk = 0u; kk < ${bk}u; kk++) {
        ${join(tn, (j) => part("b", j, bn, "lid.x"))}
        ${join(tm, (i) => `${part("a", i, bm, "lid.y")} ${join(tn, (j) => `c${i * tn + j} = fma(a${i}, b${j}, c${i * tn + j});`)}`, "\n        ")}
      }
      workgroupBarrier(); // the tiles are overwritten next
    }`;
}

/** Where element `e` of a thread's tile lies, from its first row and column. */
function place({ kind, x, y, tm, tn }: Tile, vec: boolean): { row: string; col: string } {
  if (kind === "register") return { row: `m0 + e / ${tn}u`, col: `n0 + (e % ${tn}u) * ${x}u` };
  const per = vec ? tn / 4 : tn;
  const apart = (i: string, size: number) => `${i} % 4u + ${i} / 4u * ${size / 2}u`;
  return { row: `m0 + ${apart(`(e / ${per}u)`, y * tm)}`, col: vec ? `n0 + (e % ${per}u) * ${(x * tn) / 2}u` : `n0 + ${apart(`(e % ${per}u)`, x * tn)}` };
}

const gemmKernel = kernelFamily((c: Config) => {
  const { tile, rank, vec, edge, slots } = c;
  const elem: Elem = vec ? "vec4f" : "f32";
  const cells = (tile.tm * tile.tn) / (vec ? 4 : 1);
  const { row, col } = place(tile, vec);
  const axes: Record<string, "u32"> = {};
  for (const r of range(rank)) for (const name of ["size", "a_step", "b_step", "c_step"]) axes[`${name}${r}`] = "u32";
  const base = (t: "a" | "b" | "c", from: string) => `let ${t}_base = ${[from, ...range(rank).map((r) => `i${r} * p.${t}_step${r}`)].join(" + ")};`;
  const slab = (t: string, rows: number) => `var<workgroup> ${t}_tile: array<f32, ${tile.bk * (rows + 4)}>;`;
  return defineKernel({
    name: `gemm.${tile.kind}`,
    inputs: { a: elem, b: elem, ...slotInputs(slots, elem) }, // (batch, M, K) or (batch, K, M); (batch, K, N) or (batch, N, K)
    outputs: slotOutputs(slots, elem), // (splits, batch, M, N)
    params: {
      M: "u32", N: "u32", K: "u32", lda: "u32", ldb: "u32", ldc: "u32", a_offset: "u32", b_offset: "u32",
      tiles_m: "u32", tiles_n: "u32", chunk: "u32", slab: "u32", alpha: "f32", ...axes,
    } as Record<string, "u32" | "f32">,
    workgroup: [tile.x, tile.y],
    helpers: slotHelpers(slots) + (tile.kind === "shared" ? slab("a", tile.y * tile.tm) + slab("b", tile.x * tile.tn) : ""),
    code: /* wgsl */ `
    let tile_n = group % p.tiles_n;
    let tile_m = group / p.tiles_n % p.tiles_m;
    var rest = group / p.tiles_n / p.tiles_m;
    ${range(rank).reverse().map((r) => `let i${r} = rest % p.size${r}; rest /= p.size${r};`).join(" ")}
    let k0 = rest * p.chunk;
    let k1 = min(k0 + p.chunk, p.K);
    ${base("a", "p.a_offset")} ${base("b", "p.b_offset")} ${base("c", "rest * p.slab")}
    ${tile.kind === "register" ? registerCode(c) : sharedCode(c)}
    // A loop, not one copy per element: the text, and with it the time to compile, stays small.
    var cells = array<${elem}, ${cells}>(${join(cells, (e) => (vec ? `vec4f(c${4 * e}, c${4 * e + 1}, c${4 * e + 2}, c${4 * e + 3})` : `c${e}`), ", ")});
    for (var e = 0u; e < ${cells}u; e++) {
      let m = ${row}; let n = ${col};
      ${edge ? "if (m < p.M && n < p.N)" : ""} {
        let at = c_base + m * p.ldc + n;
        var v = cells[e] * p.alpha;
        ${finish(slots, vec)}
      }
    }`,
  });
});

const REDUCE_WG = 64;

// One thread per element: adds the splits' shares in order, then finishes as the product itself would have.
const reduceKernel = kernelFamily((slots: Slots) => defineKernel({
  name: "gemm.reduce",
  inputs: { parts: "f32" as Elem, ...slotInputs(slots, "f32") }, // (splits, n)
  outputs: slotOutputs(slots, "f32"), // (n)
  params: { count: "u32", splits: "u32", N: "u32", alpha: "f32" },
  workgroup: REDUCE_WG,
  helpers: slotHelpers(slots),
  code: /* wgsl */ `
    let at = group * WG + li;
    if (at < p.count) {
      var v = 0.0;
      for (var s = 0u; s < p.splits; s++) { v += parts[s * p.count + at]; }
      v *= p.alpha;
      let n = at % p.N;
      ${finish(slots, false)}
    }`,
}));

// On processors, 64 sums per thread hide the loads; more threads than rows would only repeat the last one.
function registerTile(M: number, N: number): Tile {
  return { kind: "register", x: 8, y: M > 8 ? 8 : 1, tm: M === 1 ? 1 : M <= 4 ? 4 : 8, tn: N > 32 ? 8 : 4, bk: 1 };
}

// A multiply of 8 x 8 per thread is worth more than one of 4 x 4: it reads shared memory half as often per sum.
const SHARED_TILES: readonly (Tile & { readonly worth: number })[] = [
  { kind: "shared", x: 16, y: 16, tm: 8, tn: 8, bk: 8, worth: 1 }, // 128 x 128
  { kind: "shared", x: 8, y: 16, tm: 8, tn: 8, bk: 16, worth: 1 }, // 128 x 64
  { kind: "shared", x: 8, y: 8, tm: 8, tn: 8, bk: 16, worth: 0.9 }, // 64 x 64
  { kind: "shared", x: 8, y: 8, tm: 4, tn: 4, bk: 16, worth: 0.5 }, // 32 x 32
];

// So many tiles occupy a GPU.
const ENOUGH_TILES = 128;

const tilesOf = (t: Tile, M: number, N: number): [number, number] => [Math.ceil(M / (t.y * t.tm)), Math.ceil(N / (t.x * t.tn))];

/** The tile that wastes least at the edges, among those of which there are enough. */
function sharedTile(M: number, N: number, matrices: number): Tile {
  let best = SHARED_TILES.at(-1)!, most = 0;
  for (const t of SHARED_TILES) {
    const [m, n] = tilesOf(t, M, N);
    const value = (t.worth * M * N) / (m * t.y * t.tm * n * t.x * t.tn);
    if (m * n * matrices >= ENOUGH_TILES && value > most) [best, most] = [t, value];
  }
  return best;
}

// Long sums with few tiles are cut along K; each share is at least this long.
const SPLIT_LENGTH = 256;

function splitK(tile: Tile, tiles: number, K: number): { splits: number; chunk: number } {
  const wanted = tile.kind === "shared" ? ENOUGH_TILES : 4;
  const splits = Math.min(Math.ceil(wanted / tiles), Math.floor(K / SPLIT_LENGTH));
  if (splits < 2) return { splits: 1, chunk: K };
  const chunk = Math.ceil(K / splits / 16) * 16;
  return { splits: Math.ceil(K / chunk), chunk };
}

/** The product; with `gelu: "keep"` also what GELU was applied to. No checks: callers know their shapes. */
export function gemm(g: Gemm): { readonly y: Tensor; readonly kept: Tensor | null } {
  const { a, b, M, N, K, batch = [], out, alpha = 1 } = g;
  if (batch.length > 4) throw new Error(`gemm: expected at most 4 batch axes, got ${batch.length}`);
  const aAlongK = !a.transposed, bAlongK = b.transposed === true;
  const lda = a.ld ?? (aAlongK ? K : M), ldb = b.ld ?? (bAlongK ? K : N), ldc = out?.ld ?? N;
  const matrices = numel(batch);
  const dense = (size: number) => batch.map((_, r) => size * numel(batch.slice(r + 1)));
  const steps = { a: a.batch ?? dense(M * K), b: b.batch ?? dense(K * N), c: out?.batch ?? dense(M * N) };
  const kind = g.variant ?? (getDevice().adapter.software ? "register" : "shared");
  const tile = kind === "register" ? registerTile(M, N) : sharedTile(M, N, matrices);
  const [tilesM, tilesN] = tilesOf(tile, M, N);
  const { splits, chunk } = out ? { splits: 1, chunk: K } : splitK(tile, tilesM * tilesN * matrices, K);

  const slots: Slots = {
    bias: !!g.bias, gelu: !!g.gelu, keep: g.gelu === "keep", geluGrad: !!g.geluGradOf, residual: !!g.residual,
  };
  const none: Slots = { bias: false, gelu: false, keep: false, geluGrad: false, residual: false };
  const extra = {
    ...(g.bias ? { bias: g.bias } : {}), ...(g.geluGradOf ? { before: g.geluGradOf } : {}), ...(g.residual ? { residual: g.residual } : {}),
  };
  const outputs = { y: g.shape, ...(slots.keep ? { kept: g.shape } : {}) };

  const fours = [lda, ldb, ldc, N, aAlongK ? K : M, bAlongK ? K : N, a.offset ?? 0, b.offset ?? 0, a.tensor.size, b.tensor.size, ...steps.a, ...steps.b, ...steps.c];
  const params: Record<string, number> = {
    M, N, K, lda, ldb, ldc, a_offset: a.offset ?? 0, b_offset: b.offset ?? 0,
    tiles_m: tilesM, tiles_n: tilesN, chunk, slab: matrices * M * N, alpha: splits > 1 ? 1 : alpha,
  };
  batch.forEach((size, r) => Object.assign(params, { [`size${r}`]: size, [`a_step${r}`]: steps.a[r], [`b_step${r}`]: steps.b[r], [`c_step${r}`]: steps.c[r] }));
  const launch = gemmKernel({
    tile, aAlongK, bAlongK, rank: batch.length,
    vec: kind === "shared" && fours.every((n) => n % 4 === 0),
    edge: M % (tile.y * tile.tm) !== 0 || N % (tile.x * tile.tn) !== 0,
    tail: K % tile.bk !== 0 || chunk % tile.bk !== 0,
    slots: splits > 1 ? none : slots,
  });
  const product = launch({
    inputs: { a: a.tensor, b: b.tensor, ...(splits > 1 ? {} : extra) },
    outputs: splits > 1 ? { y: [splits, matrices, M, N] } : outputs,
    params, groups: tilesM * tilesN * matrices * splits,
  });
  if (splits === 1) return { y: product["y"]!, kept: product["kept"] ?? null };
  const count = matrices * M * N;
  const sum = reduceKernel(slots)({
    inputs: { parts: product["y"]!, ...extra }, outputs, params: { count, splits, N, alpha }, groups: Math.ceil(count / REDUCE_WG),
  });
  return { y: sum["y"]!, kept: sum["kept"] ?? null };
}

/**
 * The WGSL of `gemm.ts`: one tile of a product, by either kind of kernel, and the second pass of a product split along K.
 */
import { defineKernel, kernelFamily, type Elem } from "../engine/kernel.ts";
import { geluWgsl } from "./math.ts";

export interface Tile {
  readonly kind: "register" | "shared";
  /** Threads along N and M; elements of C per thread along M and N; K per step (shared only). */
  readonly x: number;
  readonly y: number;
  readonly tm: number;
  readonly tn: number;
  readonly bk: number;
}

export interface Slots {
  /** Which of an element's indices its bias goes by. */
  readonly bias: "m" | "n" | null;
  readonly gelu: boolean;
  readonly keep: boolean;
  readonly geluGrad: boolean;
  readonly factors: boolean;
  readonly residual: boolean;
  /** Also the sums of op(A) along K. */
  readonly sums: boolean;
  /** The caller's own last step, and the names of what it reads. */
  readonly custom: { readonly code: string; readonly inputs: readonly string[] } | null;
}

export const NO_SLOTS: Slots = { bias: null, gelu: false, keep: false, geluGrad: false, factors: false, residual: false, sums: false, custom: null };

/** WGSL for where row and column `i` (u32) of a matrix lie; an element lies at their sum. */
export interface Map {
  readonly row: string;
  readonly col: string;
}

export interface Config {
  readonly tile: Tile;
  /** Whether each operand's neighbours in memory are neighbours along K. */
  readonly aAlongK: boolean;
  readonly bAlongK: boolean;
  readonly maps: { readonly a: Map | null; readonly b: Map | null; readonly c: Map | null };
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

export const slotInputs = (s: Slots, elem: Elem): Record<string, Elem> => ({
  ...(s.bias ? { bias: elem } : {}), ...(s.geluGrad ? { before: elem } : {}), ...(s.factors ? { factors: "f32" } : {}),
  ...(s.residual ? { residual: elem } : {}), ...Object.fromEntries((s.custom?.inputs ?? []).map((name) => [name, elem])),
});
export const slotOutputs = (s: Slots, elem: Elem): Record<string, Elem> => ({ y: elem, ...(s.keep ? { kept: elem } : {}) });
export const slotParams = (s: Slots): Record<string, "u32"> => (s.factors ? { factors_at: "u32", factor_rows: "u32" } : {});
export const slotHelpers = (s: Slots): string => (s.gelu || s.geluGrad ? geluWgsl + vec4Gelu : "");

/** WGSL that finishes `v`, the element of row `m` and column `n` at index `at`, and writes it. */
export function finish(s: Slots, vec: boolean): string {
  const four = vec ? "4" : "";
  return [
    vec ? "let cell = at / 4u;" : "let cell = at;",
    s.bias === "n" ? `v += bias[${vec ? "n / 4u" : "n"}];` : "",
    s.bias === "m" ? `v += bias[m${vec ? " / 4u][m % 4u" : ""}];` : "",
    s.keep ? "kept[cell] = v;" : "",
    s.gelu ? `v = gelu${four}(v);` : "",
    s.geluGrad ? `v *= gelu_grad${four}(before[cell]);` : "",
    s.factors ? "v *= factors[p.factors_at + m / p.factor_rows];" : "",
    s.residual ? "v += residual[cell];" : "",
    s.custom?.code ?? "",
    "y[cell] = v;",
  ].filter(Boolean).join(" ");
}

/** Where row (along M or N) and where column (along K) `i` of operand `t` lies, from its matrix's first element. */
function placeOf(t: "a" | "b", { aAlongK, bAlongK, maps }: Config): { row: (i: string) => string; along: (i: string) => string } {
  const alongK = t === "a" ? aAlongK : bAlongK;
  const map = maps[t];
  const through = (text: string) => (i: string) => `(${text.replace(/\bi\b/g, `(${i})`)})`;
  if (map) return { row: through(t === "a" ? map.row : map.col), along: through(t === "a" ? map.col : map.row) };
  const [near, far] = [(i: string) => i, (i: string) => `${i} * p.ld${t}`];
  return alongK ? { row: far, along: near } : { row: near, along: far };
}

// One thread per TM x TN elements of C, its columns a workgroup's width apart so that neighbours read neighbours.
// Rows and columns past the edge read the last one, and are not written.
function registerCode(c: Config): string {
  const { tile: { x, y, tm, tn }, edge } = c;
  const a = placeOf("a", c), b = placeOf("b", c);
  const within = (i: string, size: string) => (edge ? `min(${i}, p.${size} - 1u)` : `(${i})`);
  return /* wgsl */ `
    let m0 = (tile_m * ${y}u + lid.y) * ${tm}u;
    let n0 = tile_n * ${x * tn}u + lid.x;
    ${edge ? "if (m0 >= p.M || n0 >= p.N) { return; }" : ""}
    ${join(tm, (i) => `let a_at${i} = a_base + ${a.row(within(`m0 + ${i}u`, "M"))};`)}
    ${join(tn, (j) => `let b_at${j} = b_base + ${b.row(within(`n0 + ${j * x}u`, "N"))};`)}
    ${join(tm * tn, (e) => `var c${e} = 0.0;`)}
    for (var k = k0; k < k1; k++) {
      let ak = ${a.along("k")}; let bk = ${b.along("k")};
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
    const place = placeOf(t, c);
    const at = `${t}_base + ${place.row(row)} + ${place.along(k)}`;
    const read = vec ? `${t}[(${at}) / 4u]` : `${t}[${at}]`;
    const write = (q: number) => `${t}_tile[(kk + ${alongK ? q : 0}u) * ${rows + 4}u + row + ${alongK ? 0 : q}u] = ${vec ? `v.${"xyzw"[q]}` : "v"};`;
    const loads = (rows * bk) / W, rounds = Math.ceil(loads / (x * y)), whole = loads % (x * y) === 0;
    return /* wgsl */ `
      for (var r = 0u; r < ${rounds}u; r++) {
        ${whole ? "" : `if (li + r * WG >= ${loads}u) { continue; }`}
        let s = ${whole ? "li + r * WG" : `min(li + r * WG, ${loads - 1}u)`}; // which Tint can prove
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

// Workgroups past the product's own: one thread per row of op(A), in stripes so that no share is lost on a large sum.
function sumsCode(c: Config): string {
  const { row, along } = placeOf("a", c);
  const at = `p.a_offset + ${row("m")} + ${along("k")}`;
  return /* wgsl */ `
    if (group >= p.product) {
      let s = group - p.product;
      let per = (p.M + WG - 1u) / WG;
      let m = s % per * WG + li;
      if (m < p.M) {
        let last = min((s / per + 1u) * p.chunk, p.K);
        var total = 0.0;
        for (var start = s / per * p.chunk; start < last; start += 64u) {
          var stripe = 0.0;
          for (var k = start; k < min(start + 64u, last); k++) { stripe += a[${c.vec ? `(${at}) / 4u][(${at}) % 4u` : at}]; }
          total += stripe;
        }
        sums[s / per * p.M + m] = total;
      }
      return;
    }`;
}

/** Where element `e` of a thread's tile lies, from its first row and column. */
function cellOf({ kind, x, y, tm, tn }: Tile, vec: boolean): { row: string; col: string } {
  if (kind === "register") return { row: `m0 + e / ${tn}u`, col: `n0 + (e % ${tn}u) * ${x}u` };
  const per = vec ? tn / 4 : tn;
  const apart = (i: string, size: number) => `${i} % 4u + ${i} / 4u * ${size / 2}u`;
  return { row: `m0 + ${apart(`(e / ${per}u)`, y * tm)}`, col: vec ? `n0 + (e % ${per}u) * ${(x * tn) / 2}u` : `n0 + ${apart(`(e % ${per}u)`, x * tn)}` };
}

export const gemmKernel = kernelFamily((c: Config) => {
  const { tile, rank, vec, edge, slots, maps } = c;
  const elem: Elem = vec ? "vec4f" : "f32";
  const cells = (tile.tm * tile.tn) / (vec ? 4 : 1);
  const { row, col } = cellOf(tile, vec);
  const axes: Record<string, "u32"> = {};
  for (const r of range(rank)) for (const name of ["size", "a_step", "b_step", "c_step"]) axes[`${name}${r}`] = "u32";
  const base = (t: "a" | "b" | "c", from: string) => `let ${t}_base = ${[from, ...range(rank).map((r) => `i${r} * p.${t}_step${r}`)].join(" + ")};`;
  const slab = (t: string, rows: number) => `var<workgroup> ${t}_tile: array<f32, ${tile.bk * (rows + 4)}>;`;
  const put = maps.c ? `(${maps.c.row.replace(/\bi\b/g, "m")}) + (${maps.c.col.replace(/\bi\b/g, "n")})` : "m * p.ldc + n";
  return defineKernel({
    name: `gemm.${tile.kind}`,
    inputs: { a: elem, b: elem, ...slotInputs(slots, elem) }, // (batch, M, K) or (batch, K, M); (batch, K, N) or (batch, N, K)
    outputs: { ...slotOutputs(slots, elem), ...(slots.sums ? { sums: "f32" } : {}) } as Record<string, Elem>, // (splits, batch, M, N); (splits, M)
    params: {
      M: "u32", N: "u32", K: "u32", lda: "u32", ldb: "u32", ldc: "u32", a_offset: "u32", b_offset: "u32",
      tiles_m: "u32", tiles_n: "u32", chunk: "u32", slab: "u32", product: "u32", alpha: "f32", ...slotParams(slots), ...axes,
    } as Record<string, "u32" | "f32">,
    workgroup: [tile.x, tile.y],
    helpers: slotHelpers(slots) + (tile.kind === "shared" ? slab("a", tile.y * tile.tm) + slab("b", tile.x * tile.tn) : ""),
    code: /* wgsl */ `
    ${slots.sums ? sumsCode(c) : ""}
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
        let at = c_base + ${put};
        var v = cells[e] * p.alpha;
        ${finish(slots, vec)}
      }
    }`,
  });
});

export const REDUCE_WG = 64;

/** One thread per element: adds the splits' shares in order, then finishes as the product itself would have. */
export const reduceKernel = kernelFamily((slots: Slots) => defineKernel({
  name: "gemm.reduce",
  inputs: { parts: "f32", ...slotInputs(slots, "f32"), ...(slots.sums ? { sum_parts: "f32" } : {}) } as Record<string, Elem>, // (splits, n), (splits, M)
  outputs: { ...slotOutputs(slots, "f32"), ...(slots.sums ? { sums: "f32" } : {}) } as Record<string, Elem>, // (n), (M)
  params: { count: "u32", splits: "u32", M: "u32", N: "u32", alpha: "f32", ...slotParams(slots) } as Record<string, "u32" | "f32">,
  workgroup: REDUCE_WG,
  helpers: slotHelpers(slots),
  code: /* wgsl */ `
    let at = group * WG + li;
    if (at < p.count) {
      var v = 0.0;
      for (var s = 0u; s < p.splits; s++) { v += parts[s * p.count + at]; }
      v *= p.alpha;
      let m = at / p.N % p.M; let n = at % p.N;
      ${finish(slots, false)}
    }
    ${slots.sums ? `
    if (at < p.M) {
      var total = 0.0;
      for (var s = 0u; s < p.splits; s++) { total += sum_parts[s * p.M + at]; }
      sums[at] = total;
    }` : ""}`,
}));

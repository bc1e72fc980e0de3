/**
 * The WGSL of `gemm.ts`: one tile of a product, by either kind of kernel, and the second pass of a product split along K.
 */
import { defineKernel, kernelFamily, type Elem } from "../../engine/kernel.ts";
import { range, unroll, unrollLines } from "../shared/unroll.ts";
import { placeOf, tileWgsl, type Config, type Slots } from "./config.ts";
import { sharedCode, slabs } from "./shared.ts";
import { subgroupCode } from "./subgroup.ts";
import { geluWgsl } from "../shared/activations.ts";

const vec4Gelu = /* wgsl */ `
fn gelu4(v: vec4f) -> vec4f { return vec4f(gelu(v.x), gelu(v.y), gelu(v.z), gelu(v.w)); }
fn gelu_grad4(v: vec4f) -> vec4f { return vec4f(gelu_grad(v.x), gelu_grad(v.y), gelu_grad(v.z), gelu_grad(v.w)); }`;

const normInputs = (elem: Elem): Record<string, Elem> => ({ gain: elem, shift: elem, mean: elem, variance: elem });

export const slotInputs = (s: Slots, elem: Elem): Record<string, Elem> => ({
  ...(s.bias ? { bias: elem } : {}),
  ...(s.norm ? normInputs(s.norm.by === "n" ? elem : "f32") : {}),
  ...(s.geluGrad ? { before: elem } : {}),
  ...(s.factors ? { factors: "f32" } : {}),
  ...(s.residual ? { residual: elem } : {}),
  ...Object.fromEntries((s.custom?.inputs ?? []).map((name) => [name, elem])),
});
export const slotOutputs = (s: Slots, elem: Elem): Record<string, Elem> => ({ y: elem, ...(s.keep ? { kept: elem } : {}) });
export const slotParams = (s: Slots): Record<string, "u32"> => (s.factors ? { factors_at: "u32", factor_rows: "u32" } : {});
export const slotHelpers = (s: Slots): string => (s.gelu || s.geluGrad ? geluWgsl + vec4Gelu : "");

function norm({ by, eps, relu }: NonNullable<Slots["norm"]>, vec: boolean): string {
  const i = by === "m" ? "m" : vec ? "n / 4u" : "n",
    type = by === "n" && vec ? "vec4f" : "f32";
  return `v = (v - mean[${i}]) * (inverseSqrt(variance[${i}] + ${type}(${eps})) * gain[${i}]) + shift[${i}];${relu ? ` v = max(v, ${vec ? "vec4f()" : "0.0"});` : ""}`;
}

/** WGSL that finishes `v`, the element of row `m` and column `n` at index `at`, and writes it. */
export function finish(s: Slots, vec: boolean): string {
  const four = vec ? "4" : "";
  return [
    vec ? "let cell = at / 4u;" : "let cell = at;",
    s.bias === "n" ? `v += bias[${vec ? "n / 4u" : "n"}];` : "",
    s.bias === "m" ? `v += bias[m${vec ? " / 4u][m % 4u" : ""}];` : "",
    s.norm ? norm(s.norm, vec) : "",
    s.keep ? "kept[cell] = v;" : "",
    s.gelu ? `v = gelu${four}(v);` : "",
    s.geluGrad ? `v *= gelu_grad${four}(before[cell]);` : "",
    s.factors ? "v *= factors[p.factors_at + m / p.factor_rows];" : "",
    s.residual ? "v += residual[cell];" : "",
    s.custom?.code ?? "",
    "y[cell] = v;",
  ]
    .filter(Boolean)
    .join(" ");
}

// One thread per TM x TN elements of C, its columns a workgroup's width apart so that neighbours read neighbours.
// Rows and columns past the edge read the last one, and are not written.
function registerCode(c: Config): string {
  const {
    tile: { x, y, tm, tn },
    edge,
  } = c;
  const a = placeOf("a", c),
    b = placeOf("b", c);
  const within = (i: string, size: string) => (edge ? `min(${i}, p.${size} - 1u)` : `(${i})`);
  return /* wgsl */ `
    let m0 = (tile_m * ${y}u + lid.y) * ${tm}u;
    let n0 = tile_n * ${x * tn}u + lid.x;
    ${edge ? "if (m0 >= p.M || n0 >= p.N) { return; }" : ""}
    ${unroll(tm, (i) => `let a_at${i} = a_base + ${a.row(within(`m0 + ${i}u`, "a_rows"))};`)}
    ${unroll(tn, (j) => `let b_at${j} = b_base + ${b.row(within(`n0 + ${j * x}u`, "b_rows"))};`)}
    ${unroll(tm * tn, (e) => `var c${e} = 0.0;`)}
    for (var k = k0; k < k1; k++) {
      let ak = ${a.along("k")}; let bk = ${b.along("k")};
      ${unroll(tn, (j) => `let b${j} = b[b_at${j} + bk];`)}
      ${unrollLines(tm, (i) => `let a${i} = a[a_at${i} + ak]; ${unroll(tn, (j) => `c${i * tn + j} = fma(a${i}, b${j}, c${i * tn + j});`)}`)}
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

/** Writes a thread's tile of C: by a loop whose bound no driver knows, so that the text, and with it the time to compile, stays small. */
function loopedCells({ tile: { x, tm, tn }, slots, edge, maps, vec }: Config): string {
  const W = vec ? 4 : 1,
    across = tn / W,
    count = tm * across;
  const cell = (e: number) => (vec ? `vec4f(${unroll(4, (q) => `c${4 * e + q}`, ", ")})` : `c${e}`);
  return /* wgsl */ `
    var cells = array<${vec ? "vec4f" : "f32"}, ${count}>(${unroll(count, cell, ", ")});
    for (var e = 0u; e < select(${count}u, 0u, p.M == 0u); e++) {
      let m = m0 + e / ${across}u; let n = n0 + (e % ${across}u) * ${W * x}u;
      ${edge ? "if (m < p.M && n < p.N)" : ""} {
        let at = ${cellAt(maps)};
        var v = cells[e] * p.alpha;
        ${finish(slots, vec)}
      }
    }`;
}

/** The same, each vector (or element) of it by text of its own: a GPU keeps in registers what no variable indexes. */
function sharedCells({ tile: { x, y, tm, tn }, slots, edge, maps, vec }: Config): string {
  const cell = (i: number, quad: number, j: number) => /* wgsl */ `
    {
      let m = m0 + ${(i % 4) + Math.floor(i / 4) * 4 * y}u; let n = n0 + ${quad * 4 * x + j}u;
      ${edge ? "if (m < p.M && n < p.N)" : ""} {
        let at = ${cellAt(maps)};
        var v = c${i}_${quad}${vec ? "" : `.${"xyzw"[j]}`} * p.alpha;
        ${finish(slots, vec)}
      }
    }`;
  return unroll(tm, (i) => unroll(tn / 4, (quad) => unroll(vec ? 1 : 4, (j) => cell(i, quad, j), ""), ""), "");
}

const cellAt = (maps: Config["maps"]): string =>
  `c_base + ${maps.c ? `(${maps.c.row.replace(/\bi\b/g, "m")}) + (${maps.c.col.replace(/\bi\b/g, "n")})` : "m * p.ldc + n"}`;

export const gemmKernel = kernelFamily((c: Config) => {
  const { tile, rank, vec, slots } = c;
  const elem: Elem = vec ? "vec4f" : "f32";
  const [a, b]: Elem[] = tile.kind === "subgroup" ? ["f32", c.vecB ? "vec4f" : "f32"] : [elem, elem];
  const axes: Record<string, "u32"> = {};
  for (const r of range(rank)) for (const name of ["size", "a_step", "b_step", "c_step"]) axes[`${name}${r}`] = "u32";
  return defineKernel({
    name: `gemm.${tile.kind}`,
    inputs: { a: a!, b: b!, ...slotInputs(slots, elem) }, // (batch, M, K) or (batch, K, M); (batch, K, N) or (batch, N, K)
    outputs: { ...slotOutputs(slots, elem), ...(slots.sums ? { sums: "f32" } : {}) } as Record<string, Elem>, // (splits, batch, M, N); (splits, M)
    params: {
      M: "u32",
      N: "u32",
      K: "u32",
      a_rows: "u32",
      b_rows: "u32",
      lda: "u32",
      ldb: "u32",
      ldc: "u32",
      a_offset: "u32",
      b_offset: "u32",
      tiles_m: "u32",
      tiles_n: "u32",
      chunk: "u32",
      slab: "u32",
      product: "u32",
      alpha: "f32",
      ...slotParams(slots),
      ...axes,
    } as Record<string, "u32" | "f32">,
    workgroup: [tile.x, tile.y],
    needs: tile.kind === "subgroup" ? ["subgroups"] : [],
    helpers: slotHelpers(slots) + (tile.kind === "shared" ? slabs(tile) : ""),
    code: /* wgsl */ `
    ${slots.sums && tile.kind === "register" ? sumsCode(c) : ""}
    ${tileWgsl(rank)}
    ${tile.kind === "shared" ? sharedCode(c) + sharedCells(c) : (tile.kind === "subgroup" ? subgroupCode(c) : registerCode(c)) + loopedCells(c)}`,
  });
});

/** One thread per element: adds the splits' shares in order, then finishes as the product itself would have. */
export const reduceKernel = kernelFamily((slots: Slots) =>
  defineKernel({
    name: "gemm.reduce",
    inputs: { parts: "f32", ...slotInputs(slots, "f32"), ...(slots.sums ? { sum_parts: "f32" } : {}) } as Record<string, Elem>, // (splits, n), (splits, M)
    outputs: { ...slotOutputs(slots, "f32"), ...(slots.sums ? { sums: "f32" } : {}) } as Record<string, Elem>, // (n), (M)
    params: { count: "u32", splits: "u32", M: "u32", N: "u32", alpha: "f32", ...slotParams(slots) } as Record<string, "u32" | "f32">,
    workgroup: 64,
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
    ${
      slots.sums
        ? `
    if (at < p.M) {
      var total = 0.0;
      for (var s = 0u; s < p.splits; s++) { total += sum_parts[s * p.M + at]; }
      sums[at] = total;
    }`
        : ""
    }`,
  }),
);

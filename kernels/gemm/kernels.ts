/**
 * The WGSL of `gemm.ts`: one tile of a product, by either kind of kernel, and the second pass of a product split along K.
 */
import { defineKernel, kernelFamily, type Elem } from "../../engine/kernel.ts";
import { range, unroll, unrollLines } from "../shared/unroll.ts";
import { placeOf, rowSums, scaledSum, tileWgsl, type Config, type Slots } from "./config.ts";
import { sharedCode, slabs } from "./shared.ts";
import { subgroupCode } from "./subgroup.ts";
import { activationOf, type Activation } from "../shared/activations.ts";

type Buffers = Readonly<Record<string, Elem | `${Elem}?`>>;

/** Buffers that the slots read; a launch passes null for empty slots. */
export function slotInputs(s: Slots, elem: Elem): Buffers {
  const norm: `${Elem}?` = s.norm?.by === "m" ? "f32?" : `${elem}?`;
  return {
    bias: `${elem}?`,
    norm_weight: norm,
    norm_bias: norm,
    mean: norm,
    variance: norm,
    grad_at: `${elem}?`,
    scale: s.scale === "m" ? "f32?" : `${elem}?`,
    factors: "f32?",
    softmax: `${elem}?`,
    dots_of_rows: "f32?",
    residual: `${elem}?`,
    ...Object.fromEntries((s.custom?.inputs ?? []).map((name) => [name, elem])),
  };
}
/** Buffers that a product writes: `y` is made, or is there already and updated. */
export function slotBuffers(s: Slots, elem: Elem, y = elem): { readonly updates: Buffers; readonly outputs: ReturnType<typeof outputsOf> } {
  const { y: made, ...others } = outputsOf(elem, y);
  return s.into ? { updates: { y: made }, outputs: others as ReturnType<typeof outputsOf> } : { updates: {}, outputs: outputsOf(elem, y) };
}
const outputsOf = (elem: Elem, y: Elem) => ({ y, pre_activation: `${elem}?`, sums: "f32?", dots: "f32?" }) as const;
const slotParams = (s: Slots): Record<string, "u32"> => ({
  ...(s.into ? { c_offset: "u32" } : {}),
  ...(s.factors ? { factors_at: "u32", factor_rows: "u32" } : {}),
});

const PLACES = ["M", "N", "K", "a_rows", "b_rows", "lda", "ldb", "ldc", "a_offset", "b_offset", "tiles_m", "tiles_n", "chunk", "slab"];
const BATCH_AXIS = ["size", "a_step", "b_step", "c_step"];

/** Params of a product with `rank` batch axes; `own` are its kernel's. */
export function productParams(rank: number, slots: Slots, own: readonly string[] = []): Readonly<Record<string, "u32" | "f32">> {
  const integers = (names: readonly string[]) => Object.fromEntries(names.map((name) => [name, "u32" as const]));
  const axes = range(rank).flatMap((r) => BATCH_AXIS.map((name) => `${name}${r}`));
  return { ...integers([...PLACES, ...own]), alpha: "f32", ...slotParams(slots), ...integers(axes) };
}

/** The activations that the slots use, on single elements and, as `NAME4`, on four. */
export function slotHelpers({ activation, gradOf }: Slots): string {
  const four = (f: string) => `fn ${f}4(v: vec4f) -> vec4f { return vec4f(${[..."xyzw"].map((q) => `${f}(v.${q})`).join(", ")}); }`;
  const used = [...new Set<Activation>([activation, gradOf])].filter((name) => name !== "none");
  return used.map((name) => `${activationOf(name, "f32")}\n${four(name)}\n${four(`${name}_grad`)}`).join("");
}

function norm({ by, eps }: NonNullable<Slots["norm"]>, vec: boolean): string {
  const i = by === "m" ? "m" : vec ? "n / 4u" : "n",
    type = by === "n" && vec ? "vec4f" : "f32";
  return `v = (v - mean[${i}]) * (inverseSqrt(variance[${i}] + ${type}(${eps})) * norm_weight[${i}]) + norm_bias[${i}];`;
}

/** WGSL that finishes `v`, the element of row `m` and column `n` at index `at`, and writes it. */
export function finish(s: Slots, vec: boolean): string {
  const four = vec ? "4" : "";
  return [
    vec ? "let cell = at / 4u;" : "let cell = at;",
    s.bias === "n" ? `v += bias[${vec ? "n / 4u" : "n"}];` : "",
    s.bias === "m" ? `v += bias[m${vec ? " / 4u][m % 4u" : ""}];` : "",
    s.norm ? norm(s.norm, vec) : "",
    s.preActivation ? "pre_activation[cell] = v;" : "",
    s.activation === "none" ? "" : `v = ${s.activation}${four}(v);`,
    s.gradOf === "none" ? "" : `v *= ${s.gradOf}_grad${four}(grad_at[cell]);`,
    s.scale === "n" ? `v *= scale[${vec ? "n / 4u" : "n"}];` : "",
    s.scale === "m" ? "v *= scale[m];" : "",
    s.factors ? "v *= factors[p.factors_at + m / p.factor_rows];" : "",
    s.softmax ? "v = softmax[cell] * (v - dots_of_rows[at / p.ldc]);" : "",
    s.residual ? "v += residual[cell];" : "",
    (vec ? s.custom?.fours : s.custom?.code) ?? "",
    "y[cell] = v;",
  ]
    .filter(Boolean)
    .join(" ");
}

/**
 * One thread per TM x TN elements of C, its columns a workgroup's width apart so that neighbours read neighbours.
 * Rows and columns past the edge read the last one, and are not written.
 *
 * The body of `gemm.register` for threads of 1 x 2 elements, op(A) = A, op(B) = B, no edges:
 *
 *     let tile_n = group % p.tiles_n;
 *     let tile_m = group / p.tiles_n % p.tiles_m;
 *     var rest = group / p.tiles_n / p.tiles_m;
 *     let k0 = rest * p.chunk;
 *     let k1 = min(k0 + p.chunk, p.K);
 *     let a_base = p.a_offset; let b_base = p.b_offset; let c_base = rest * p.slab;
 *     let m0 = (tile_m * 8u + lid.y) * 1u;
 *     let n0 = tile_n * 16u + lid.x;
 *     let a_at0 = a_base + (m0 + 0u) * p.lda;
 *     let b_at0 = b_base + (n0 + 0u); let b_at1 = b_base + (n0 + 8u);
 *     var c0 = 0.0; var c1 = 0.0;
 *     for (var k = k0; k < k1; k++) {
 *       let ak = k; let bk = k * p.ldb;
 *       let b0 = b[b_at0 + bk]; let b1 = b[b_at1 + bk];
 *       let a0 = a[a_at0 + ak]; c0 = fma(a0, b0, c0); c1 = fma(a0, b1, c1);
 *     }
 *     var cells = array<f32, 2>(c0, c1);
 *     for (var e = 0u; e < select(2u, 0u, p.M == 0u); e++) {
 *       let m = m0 + e / 2u; let n = n0 + (e % 2u) * 8u;
 *       {
 *         let at = c_base + m * p.ldc + n;
 *         var v = cells[e] * p.alpha;
 *         let cell = at; y[cell] = v;
 *       }
 *     }
 */
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
      ${unrollLines(tm, (i) => `let a${i} = a[a_at${i} + ak]${c.scaledK ? " * scale[k]" : ""}; ${unroll(tn, (j) => `c${i * tn + j} = fma(a${i}, b${j}, c${i * tn + j});`)}`)}
    }`;
}

// Workgroups past the product's: one thread per row of op(A), in stripes, so that small terms are not lost in a large sum.
function sumsCode(c: Config): string {
  const { row, along } = placeOf("a", c);
  const at = `p.a_offset + ${row("m")} + ${along("k")}`;
  const element = `a[${c.vec ? `(${at}) / 4u][(${at}) % 4u` : at}]`;
  const each = (ofSums: string, ofDots: string) => rowSums(c.slots, ofSums, ofDots);
  return /* wgsl */ `
    if (group >= p.product) {
      let s = group - p.product;
      let per = (p.M + WG - 1u) / WG;
      let m = s % per * WG + li;
      if (m < p.M) {
        let last = min((s / per + 1u) * p.chunk, p.K);
        ${each("var total = 0.0;", "var dot = 0.0;")}
        for (var start = s / per * p.chunk; start < last; start += 64u) {
          ${each("var stripe = 0.0;", "var dot_stripe = 0.0;")}
          for (var k = start; k < min(start + 64u, last); k++) { ${each(`stripe += ${element};`, `dot_stripe += ${element} * dots_with[${at}];`)} }
          ${each("total += stripe;", "dot += dot_stripe;")}
        }
        ${each(`sums[s / per * p.M + m] = total${scaledSum(c.slots, "m")};`, "dots[s / per * p.M + m] = dot;")}
      }
      return;
    }`;
}

/** Writes a thread's tile of C by a loop whose bound is no constant, so that drivers do not unroll it: unrolled, it compiles slowly. */
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

/** The same, unrolled: a GPU keeps an array in registers only if no variable indexes it. */
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
  // The rest of what is read: with the slots' own.
  const beside: Buffers = { ...(c.scaledK ? { scale: tile.kind === "shared" ? elem : "f32" } : {}), dots_with: "f32?", samples: "f32?" };
  return defineKernel({
    name: `gemm.${tile.kind}`,
    inputs: { a: a!, b: b!, ...slotInputs(slots, elem), ...beside } as Buffers, // (batch, M, K) or (batch, K, M); (batch, K, N) or (batch, N, K); dots_with as a
    ...slotBuffers(slots, elem), // (splits, batch, M, N); the same; (splits, M) each
    params: productParams(rank, slots, c.samples ? ["product", "samples_at", "sample_rows"] : ["product"]),
    workgroup: [tile.x, tile.y],
    needs: tile.kind === "subgroup" ? ["subgroups"] : [],
    helpers: slotHelpers(slots) + (tile.kind === "shared" ? slabs(tile) : ""),
    code: /* wgsl */ `
    ${(slots.sums || slots.dots) && tile.kind === "register" ? sumsCode(c) : ""}
    ${tileWgsl(rank, slots.into)}
    ${tile.kind === "shared" ? sharedCode(c) + sharedCells(c) : (tile.kind === "subgroup" ? subgroupCode(c) : registerCode(c)) + loopedCells(c)}`,
  });
});

const addedRows = (name: string, parts: string, total: string, scaled: string) => `
    if (at < p.M) {
      var ${total} = 0.0;
      for (var s = 0u; s < p.splits; s++) { ${total} += ${parts}[s * p.M + at]; }
      ${name}[at] = ${total}${scaled};
    }`;

/** One thread per element: adds the splits' shares in order, then finishes as the product itself would have. */
export const reduceKernel = kernelFamily((slots: Slots) =>
  defineKernel({
    name: "gemm.reduce",
    inputs: { parts: "f32", ...slotInputs(slots, "f32"), sum_parts: "f32?", dot_parts: "f32?" } as Buffers, // (splits, n), …, (splits, M) each
    outputs: outputsOf("f32", "f32"), // (n); the same; (M) each
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
    ${slots.sums ? addedRows("sums", "sum_parts", "total", scaledSum(slots, "at")) : ""}${slots.dots ? addedRows("dots", "dot_parts", "dot", "") : ""}`,
  }),
);

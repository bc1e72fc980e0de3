/**
 * The WGSL of `gemm-matrix.ts`: a tile of a product by subgroup matrices, which GPUs with tensor cores multiply there.
 *
 * A workgroup stages slabs of A and B in workgroup memory as they lie in memory, transposed or not: the load of a subgroup matrix
 * takes either order. Each subgroup keeps its part of C in matrices of f32 and hands it over through workgroup memory at the end.
 *
 * Language: https://github.com/gpuweb/gpuweb/blob/main/proposals/subgroup-matrix.md, a draft; Dawn has had two forms of it.
 */
import { defineKernel, kernelFamily, SUBGROUP_MATRIX, type Elem } from "../../engine/kernel.ts";
import { finish, slotHelpers, slotInputs, slotOutputs, slotParams } from "./kernels.ts";
import { range, unroll, unrollLines } from "../shared/unroll.ts";
import { tileWgsl, type Slots } from "./config.ts";

/** What a subgroup multiplies at once: (M, K) by (K, N), summed in f32. */
export interface MatrixShape {
  readonly M: number;
  readonly N: number;
  readonly K: number;
  readonly input: "f16" | "f32";
}

export interface MatrixTile {
  /** Of C per workgroup, and along K per step. */
  readonly bm: number;
  readonly bn: number;
  readonly bk: number;
  /** Subgroups along M and N. */
  readonly gm: number;
  readonly gn: number;
  /**
   * How the next slab gets into workgroup memory. `plain`: before it is multiplied; `ahead`: it is read into registers while the one
   * before is multiplied; `double`: and written beside that one, with one barrier a step instead of two.
   */
  readonly staging: "plain" | "ahead" | "double";
}

/**
 * Forms of the load and the store. `majorness`: `subgroupMatrixLoad<T, row_major>(array, at, stride)`, which counts in the array's
 * elements, whatever they are; `boolean`: `subgroupMatrixLoad<T>(array, at, false, stride)`, of scalars only.
 */
export type MatrixSyntax = "majorness" | "boolean";

export interface MatrixConfig {
  readonly shape: MatrixShape;
  readonly tile: MatrixTile;
  readonly syntax: MatrixSyntax;
  /** Workgroup memory in words of 16 bytes instead of scalars. Needs `majorness`. */
  readonly words: boolean;
  /** Threads of a subgroup; `sized` where the kernel has to say so. */
  readonly lanes: number;
  readonly sized: boolean;
  readonly aAlongK: boolean;
  readonly bAlongK: boolean;
  readonly rank: number;
  /** M or N, and K or a share of it, are no multiples of the tile. */
  readonly edge: boolean;
  readonly tail: boolean;
  /** Matrices are stored where they belong, with nothing done to them: no edge, no slots, alpha 1, an f32 result. */
  readonly direct: boolean;
  readonly slots: Slots;
}

/** Elements in 16 bytes: what a thread reads at once. */
export const wordOf = ({ input }: MatrixShape): number => (input === "f16" ? 8 : 4);

/**
 * An operand's slab, in words: a part of its own for each subgroup's rows of A or columns of B, lines as they lie in memory, each a word
 * longer than it is, against bank conflicts. Parts are arrays in an array so that every load within one is at a constant: otherwise Tint
 * checks each load's bounds (some 12 instructions), and its stride is no constant either.
 */
function slabOf(t: "a" | "b", { shape, tile, aAlongK, bAlongK }: Pick<MatrixConfig, "shape" | "tile" | "aAlongK" | "bAlongK">) {
  const word = wordOf(shape),
    alongK = t === "a" ? aAlongK : bAlongK;
  const rows = t === "a" ? tile.bm : tile.bn,
    parts = t === "a" ? tile.gm : tile.gn,
    own = rows / parts;
  const per = (alongK ? tile.bk : rows) / word; // of a line in memory
  const pitch = (alongK ? tile.bk : own) / word + 1;
  return { alongK, rows, own, parts, per, pitch, part: (alongK ? own : tile.bk) * pitch, loads: (rows * tile.bk) / word };
}

/** Columns of C that a subgroup hands over at once, and the floats between their rows. */
function patchOf({ shape, tile }: Pick<MatrixConfig, "shape" | "tile">): { cols: number; pitch: number; floats: number } {
  const own = tile.bn / tile.gn;
  let cols = own;
  while (cols > 32 && cols % (2 * shape.N) === 0) cols /= 2;
  return { cols, pitch: cols + 4, floats: shape.M * (cols + 4) };
}

const slabsOf = ({ staging }: MatrixTile): number => (staging === "double" ? 2 : 1);

/** Where subgroups hand over: in parts of a slab, if there are enough and large enough ones, or in memory of their own. */
function handOverIn(c: Pick<MatrixConfig, "shape" | "tile" | "aAlongK" | "bAlongK" | "words">): "a" | "b" | "own" {
  const { tile } = c,
    needed = patchOf(c).floats / 4;
  const fits = (t: "a" | "b") => {
    const s = slabOf(t, c);
    return s.parts * slabsOf(tile) >= tile.gm * tile.gn && s.part >= needed;
  };
  return !c.words ? "own" : fits("a") ? "a" : fits("b") ? "b" : "own";
}

/** Workgroup memory that a kernel takes. */
export function matrixBytes(c: Pick<MatrixConfig, "shape" | "tile" | "aAlongK" | "bAlongK" | "words" | "direct">): number {
  const slabs = (["a", "b"] as const)
    .map((t) => slabOf(t, c))
    .reduce((sum, { parts, part }) => sum + 16 * slabsOf(c.tile) * parts * part, 0);
  return slabs + (c.direct || handOverIn(c) !== "own" ? 0 : 4 * c.tile.gm * c.tile.gn * patchOf(c).floats);
}

/** Whether the tile is made of whole matrices and whole words. */
export function divides({ M, N, K, input }: MatrixShape, { bm, bn, bk, gm, gn }: MatrixTile): boolean {
  const word = wordOf({ M, N, K, input });
  return bm % (gm * M) === 0 && bn % (gn * N) === 0 && bk % K === 0 && [M, N, K].every((n) => n % word === 0);
}

/** One word of a slab per thread and round: where it lies in the slab and in memory, at k = 0. */
function places(t: "a" | "b", c: MatrixConfig, threads: number): string {
  const { alongK, own, per, pitch, loads } = slabOf(t, c);
  const word = wordOf(c.shape),
    size = t === "a" ? "M" : "N";
  return unrollLines(Math.ceil(loads / threads), (r) => {
    const s = `(li + ${r * threads}u)`,
      line = `${s} / ${per}u`,
      at = `${s} % ${per}u`;
    const row = alongK ? `${t}_row0 + ${line}` : `${t}_row0 + ${at} * ${word}u`;
    const inside = c.edge ? `min(${row}, p.${size} - ${alongK ? 1 : word}u)` : row; // past the edge: the last one, which is not written
    return [
      ...(alongK
        ? [
            `let ${t}_part${r} = ${line} / ${own}u; let ${t}_to${r} = ${line} % ${own}u * ${pitch}u + ${at}; let ${t}_k${r} = ${at} * ${word}u;`,
          ]
        : [
            `let ${t}_part${r} = ${at} / ${own / word}u; let ${t}_to${r} = ${line} * ${pitch}u + ${at} % ${own / word}u; let ${t}_k${r} = ${line};`,
          ]),
      `let ${t}_from${r} = ${t}_base / ${word}u + ${alongK ? `(${inside}) * ld${t} + ${at}` : `(${inside}) / ${word}u + ${line} * ld${t}`};`,
    ].join(" ");
  });
}

/** WGSL that does `each` for every round of loads; a last round that is not whole is for some threads only. */
function rounds(t: "a" | "b", c: MatrixConfig, threads: number, each: (r: number) => string): string {
  const { loads } = slabOf(t, c);
  return unrollLines(Math.ceil(loads / threads), (r) =>
    (r + 1) * threads <= loads ? each(r) : `if (li + ${r * threads}u < ${loads}u) { ${each(r)} }`,
  );
}

export const matrixKernel = kernelFamily((c: MatrixConfig) => {
  const { shape, tile, syntax, words, lanes, sized, rank, edge, tail, direct, slots } = c;
  const { M, N, K, input } = shape;
  const { bm, bn, bk, gm, gn, staging } = tile;
  if (!divides(shape, tile))
    throw new Error(`gemm.matrix: expected a tile of whole ${M}x${N}x${K} matrices, got ${bm}x${bn}x${bk} for ${gm}x${gn} subgroups`);
  const threads = gm * gn * lanes,
    word = wordOf(shape);
  const own = { m: bm / gm, n: bn / gn };
  const [TM, TN] = [own.m / M, own.n / N];
  const a = slabOf("a", c),
    b = slabOf("b", c),
    patch = patchOf(c);
  const Word = input === "f16" ? "vec4u" : "vec4f";
  const unit = words ? word : 1; // elements per array element
  const element = words ? Word : input;

  const load = (type: string, from: string, at: number, rowMajor: boolean, stride: number) =>
    syntax === "majorness"
      ? `subgroupMatrixLoad<${type}, ${rowMajor ? "row_major" : "col_major"}>(${from}, ${at}u, ${stride}u)`
      : `subgroupMatrixLoad<${type}>(${from}, ${at}u, ${String(!rowMajor)}, ${stride}u)`;
  const store = (to: string, at: string, value: string, stride: string) =>
    syntax === "majorness"
      ? `subgroupMatrixStore<row_major>(&${to}, ${at}, ${value}, ${stride});`
      : `subgroupMatrixStore(&${to}, ${at}, ${value}, false, ${stride});`;

  const lanesOf = ["x", "y", "z", "w"];
  const put = (part: string, at: string, value: string) =>
    words
      ? `${part}[${at}] = ${value};`
      : input === "f32"
        ? lanesOf.map((q, i) => `${part}[${at} * 4u + ${i}u] = ${value}.${q};`).join(" ")
        : `{ let lo = bitcast<vec4h>(${value}.xy); let hi = bitcast<vec4h>(${value}.zw); ${range(8)
            .map((i) => `${part}[${at} * 8u + ${i}u] = ${i < 4 ? "lo" : "hi"}.${lanesOf[i % 4]};`)
            .join(" ")} }`;

  const operands = [
    ["a", a],
    ["b", b],
  ] as const;
  const stepOf = (t: "a" | "b", k: string) => ((t === "a" ? a : b).alongK ? `${k} / ${word}u` : `${k} * ld${t}`);
  const read = (t: "a" | "b", r: number, k: string) =>
    tail
      ? `${t}_in${r} = ${Word}(); if (${k} + ${t}_k${r} < k1) { ${t}_in${r} = ${t}[${t}_from${r} + ${stepOf(t, k)}]; }`
      : `${t}_in${r} = ${t}[${t}_from${r} + ${stepOf(t, k)}];`;
  const reads = (k: string) => operands.map(([t]) => rounds(t, c, threads, (r) => read(t, r, k))).join("\n      ");
  const writes = (which: string) =>
    operands
      .map(([t, s]) =>
        rounds(t, c, threads, (r) =>
          put(`${t}_slab[${which ? `${which} * ${s.parts}u + ` : ""}${t}_part${r}]`, `${t}_to${r}`, `${t}_in${r}`),
        ),
      )
      .join("\n      ");
  const inputs = operands.map(([t, s]) => unroll(Math.ceil(s.loads / threads), (r) => `var ${t}_in${r}: ${Word};`)).join(" ");

  // Where matrix `i` of a part begins, and its lines' distance, in array elements.
  const offset = (s: typeof a, i: number, size: number, k: number) =>
    (s.alongK ? i * size * s.pitch * word + k : k * s.pitch * word + i * size) / unit;
  const multiply = (which: string) => `
      ${operands.map(([t, s]) => `let ${t}_mine = &${t}_slab[${which ? `${which} * ${s.parts}u + ` : ""}part_${t === "a" ? "m" : "n"}];`).join(" ")}
      ${unrollLines(bk / K, (q) => {
        const right = (j: number) =>
          `let b${q}_${j} = ${load("Right", "b_mine", offset(b, j, N, q * K), !b.alongK, (b.pitch * word) / unit)};`;
        const left = (i: number) =>
          `let a${q}_${i} = ${load("Left", "a_mine", offset(a, i, M, q * K), a.alongK, (a.pitch * word) / unit)};`;
        return `${unrollLines(TN, right)}\n      ${unrollLines(TM, (i) => `${left(i)} ${unroll(TN, (j) => `c${i}_${j} = subgroupMatrixMultiplyAccumulate(a${q}_${i}, b${q}_${j}, c${i}_${j});`)}`)}`;
      })}`;

  const loop = {
    plain: `
    for (var k = k0; k < k1; k += ${bk}u) {
      ${reads("k")}
      ${writes("")}
      workgroupBarrier();
      ${multiply("")}
      workgroupBarrier(); // the slab is overwritten next
    }`,
    ahead: `
    ${reads("k0")}
    for (var k = k0; k < k1; k += ${bk}u) {
      ${writes("")}
      workgroupBarrier();
      let next = k + ${bk}u;
      if (next < k1) {
      ${reads("next")}
      }
      ${multiply("")}
      workgroupBarrier();
    }`,
    double: `
    ${reads("k0")}
    ${writes("")}
    workgroupBarrier();
    var now = 0u; // which slab is multiplied
    for (var k = k0; k < k1; k += ${bk}u) {
      let next = k + ${bk}u;
      if (next < k1) {
      ${reads("next")}
      }
      ${multiply("now")}
      now = 1u - now;
      if (next < k1) {
      ${writes("now")}
      }
      workgroupBarrier();
    }`,
  }[staging];

  // Each subgroup hands over M rows by `patch.cols` columns at a time.
  const home = handOverIn(c),
    memory = home === "own" ? "patches" : `${home}_slab`;
  const floats = words ? 4 : 1; // in an element of `memory`
  const perRow = patch.cols / 4,
    cells = M * perRow;
  const four = (e: string) =>
    !words
      ? `vec4f(patches[subgroup_number][${e} * 4u], patches[subgroup_number][${e} * 4u + 1u], patches[subgroup_number][${e} * 4u + 2u], patches[subgroup_number][${e} * 4u + 3u])`
      : home !== "own" && Word === "vec4u"
        ? `bitcast<vec4f>(${memory}[subgroup_number][${e}])`
        : `${memory}[subgroup_number][${e}]`;
  const handOver = `
    ${unroll(
      TM,
      (i) =>
        unroll(
          own.n / patch.cols,
          (g) => `
    ${unroll(patch.cols / N, (j) => store(`${memory}[subgroup_number]`, `${(j * N) / floats}u`, `c${i}_${(g * patch.cols) / N + j}`, `${patch.pitch / floats}u`))}
    workgroupBarrier();
    for (var r = 0u; r < ${Math.ceil(cells / lanes)}u; r++) {
      let e = subgroup_lane + r * ${lanes}u;
      let m = m0 + ${i * M}u + e / ${perRow}u; let n = n0 + ${g * patch.cols}u + e % ${perRow}u * 4u;
      if (${[cells % lanes === 0 ? "" : `e < ${cells}u`, edge ? "m < p.M && n < p.N" : ""].filter(Boolean).join(" && ") || "true"}) {
        let e4 = e / ${perRow}u * ${patch.pitch / 4}u + e % ${perRow}u;
        let at = c_base + m * p.ldc + n;
        var v = ${four("e4")} * p.alpha;
        ${finish(slots, true)}
      }
    }
    workgroupBarrier();`,
          "",
        ),
      "",
    )}`;
  const storeAll = unrollLines(TM, (i) =>
    unroll(TN, (j) => store("y", `c_base + (m0 + ${i * M}u) * p.ldc + n0 + ${j * N}u`, `c${i}_${j}`, "p.ldc")),
  );

  const axes: Record<string, "u32"> = {};
  for (const r of range(rank)) for (const name of ["size", "a_step", "b_step", "c_step"]) axes[`${name}${r}`] = "u32";
  return defineKernel({
    name: "gemm.matrix",
    needs: [SUBGROUP_MATRIX, "subgroups"],
    subgroupSize: sized ? lanes : undefined,
    inputs: { a: Word, b: Word, ...slotInputs(slots, "vec4f") } as Readonly<Record<string, Elem | `${Elem}?`>>, // (batch, M, K) or (batch, K, M); (batch, K, N) or (batch, N, K)
    outputs: { ...slotOutputs("vec4f"), ...(direct ? { y: "f32" as const } : {}) }, // (splits, batch, M, N)
    params: {
      M: "u32",
      N: "u32",
      K: "u32",
      lda: "u32",
      ldb: "u32",
      ldc: "u32",
      a_offset: "u32",
      b_offset: "u32",
      tiles_m: "u32",
      tiles_n: "u32",
      chunk: "u32",
      slab: "u32",
      alpha: "f32",
      ...slotParams(slots),
      ...axes,
    } as Record<string, "u32" | "f32">,
    workgroup: threads,
    helpers: `
    alias Left = subgroup_matrix_left<${input}, ${K}, ${M}>;
    alias Right = subgroup_matrix_right<${input}, ${N}, ${K}>;
    alias Result = subgroup_matrix_result<f32, ${N}, ${M}>;
    ${operands.map(([t, x]) => `var<workgroup> ${t}_slab: array<array<${element}, ${(x.part * word) / unit}>, ${x.parts * slabsOf(tile)}>;`).join(" ")}
    ${direct || home !== "own" ? "" : `var<workgroup> patches: array<array<${words ? "vec4f" : "f32"}, ${patch.floats / floats}>, ${gm * gn}>;`}
    ${slotHelpers(slots)}`,
    code: /* wgsl */ `
    ${tileWgsl(rank)}
    let lda = p.lda / ${word}u; let ldb = p.ldb / ${word}u; // in words
    let a_row0 = tile_m * ${bm}u; let b_row0 = tile_n * ${bn}u;
    ${places("a", c, threads)}
    ${places("b", c, threads)}
    ${inputs}
    let part_m = subgroup_number / ${gn}u; let part_n = subgroup_number % ${gn}u;
    ${unrollLines(TM, (i) => unroll(TN, (j) => `var c${i}_${j}: Result;`))}
    ${loop}
    let m0 = a_row0 + part_m * ${own.m}u; let n0 = b_row0 + part_n * ${own.n}u;
    ${direct ? storeAll : handOver}`,
  });
});
